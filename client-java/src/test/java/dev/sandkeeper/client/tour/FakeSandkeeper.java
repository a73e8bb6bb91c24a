package dev.sandkeeper.client.tour;

import com.google.protobuf.ByteString;
import com.google.protobuf.Duration;
import com.google.protobuf.Timestamp;
import dev.sandkeeper.v1.AuditServiceGrpc;
import dev.sandkeeper.v1.CostRecord;
import dev.sandkeeper.v1.CostServiceGrpc;
import dev.sandkeeper.v1.CreateSandboxRequest;
import dev.sandkeeper.v1.CreateSandboxResponse;
import dev.sandkeeper.v1.ExecuteRequest;
import dev.sandkeeper.v1.ExecuteResponse;
import dev.sandkeeper.v1.ExecutionEvent;
import dev.sandkeeper.v1.FileInfo;
import dev.sandkeeper.v1.FileServiceGrpc;
import dev.sandkeeper.v1.Finished;
import dev.sandkeeper.v1.GetPriceAtRequest;
import dev.sandkeeper.v1.GetPriceAtResponse;
import dev.sandkeeper.v1.GetQuotaRequest;
import dev.sandkeeper.v1.GetQuotaResponse;
import dev.sandkeeper.v1.GetSandboxRequest;
import dev.sandkeeper.v1.GetSandboxResponse;
import dev.sandkeeper.v1.GetSandboxUsageRequest;
import dev.sandkeeper.v1.GetSandboxUsageResponse;
import dev.sandkeeper.v1.Limit;
import dev.sandkeeper.v1.ListCostRecordsRequest;
import dev.sandkeeper.v1.ListCostRecordsResponse;
import dev.sandkeeper.v1.ListLimitsRequest;
import dev.sandkeeper.v1.ListLimitsResponse;
import dev.sandkeeper.v1.Output;
import dev.sandkeeper.v1.Price;
import dev.sandkeeper.v1.PriceBasis;
import dev.sandkeeper.v1.PricingServiceGrpc;
import dev.sandkeeper.v1.QuotaServiceGrpc;
import dev.sandkeeper.v1.QuotaStatus;
import dev.sandkeeper.v1.ReadFileRequest;
import dev.sandkeeper.v1.ReadFileResponse;
import dev.sandkeeper.v1.Resources;
import dev.sandkeeper.v1.Sandbox;
import dev.sandkeeper.v1.SandboxServiceGrpc;
import dev.sandkeeper.v1.SandboxUsage;
import dev.sandkeeper.v1.SetLimitRequest;
import dev.sandkeeper.v1.SetLimitResponse;
import dev.sandkeeper.v1.Started;
import dev.sandkeeper.v1.TerminateSandboxRequest;
import dev.sandkeeper.v1.TerminateSandboxResponse;
import dev.sandkeeper.v1.VerifyAuditChainRequest;
import dev.sandkeeper.v1.VerifyAuditChainResponse;
import dev.sandkeeper.v1.WriteFileRequest;
import dev.sandkeeper.v1.WriteFileResponse;
import io.grpc.Server;
import io.grpc.netty.shaded.io.grpc.netty.NettyServerBuilder;
import io.grpc.stub.StreamObserver;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.stream.Collectors;

/**
 * A server that plays the one job of the tour, on a real port, with faults that a test can ask for.
 */
final class FakeSandkeeper implements AutoCloseable {
  static final String SANDBOX_ID = "s".repeat(20);

  private static final Sandbox SANDBOX =
      Sandbox.newBuilder()
          .setSandboxId(SANDBOX_ID)
          .setTier("standard")
          .setEngine("local")
          .setResources(Resources.newBuilder().setCpuCores(2).setMemoryMib(1024))
          .setTimeout(Duration.newBuilder().setSeconds(60))
          .build();
  private static final long COST = 130_001;

  private final Server server;
  private final Map<String, ByteString> files = new ConcurrentHashMap<>();
  private final List<Limit> limits = new CopyOnWriteArrayList<>();
  private final List<String> ended = new CopyOnWriteArrayList<>();

  /** What the books say was billed for the idle time beside the first execution. */
  volatile long idleCost = COST - 100_000;

  volatile boolean auditIntact = true;
  volatile int exitCode;
  volatile int pythonLines = 6;
  volatile ByteString corruption = ByteString.EMPTY;

  FakeSandkeeper() {
    try {
      server =
          NettyServerBuilder.forAddress(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0))
              .addService(new Sandboxes())
              .addService(new Files())
              .addService(new Quotas())
              .addService(new Prices())
              .addService(new Costs())
              .addService(new Audit())
              .build()
              .start();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  String target() {
    return "127.0.0.1:" + server.getPort();
  }

  /** Returns the sandboxes that were ended, one entry for each call. */
  List<String> ended() {
    return ended;
  }

  List<Limit> limits() {
    return limits;
  }

  @Override
  public void close() {
    server.shutdownNow();
  }

  private static <T> void answer(StreamObserver<T> answer, T message) {
    answer.onNext(message);
    answer.onCompleted();
  }

  private final class Sandboxes extends SandboxServiceGrpc.SandboxServiceImplBase {
    @Override
    public void createSandbox(
        CreateSandboxRequest request, StreamObserver<CreateSandboxResponse> answer) {
      answer(answer, CreateSandboxResponse.newBuilder().setSandbox(SANDBOX).build());
    }

    @Override
    public void getSandbox(GetSandboxRequest request, StreamObserver<GetSandboxResponse> answer) {
      answer(answer, GetSandboxResponse.newBuilder().setSandbox(SANDBOX).build());
    }

    @Override
    public void terminateSandbox(
        TerminateSandboxRequest request, StreamObserver<TerminateSandboxResponse> answer) {
      ended.add(request.getSandboxId());
      answer(answer, TerminateSandboxResponse.newBuilder().setSandbox(SANDBOX).build());
    }

    @Override
    public void getSandboxUsage(
        GetSandboxUsageRequest request, StreamObserver<GetSandboxUsageResponse> answer) {
      SandboxUsage usage =
          SandboxUsage.newBuilder()
              .setLifetime(Duration.newBuilder().setSeconds(4))
              .setCpuMicros(1_500_000)
              .setExecutionCount(3)
              .setCostNanoUsd(COST)
              .build();
      answer(answer, GetSandboxUsageResponse.newBuilder().setUsage(usage).build());
    }

    @Override
    public void execute(ExecuteRequest request, StreamObserver<ExecuteResponse> answer) {
      List<String> lines = new ArrayList<>();
      if (request.hasCode()) {
        for (int line = 1; line <= pythonLines; line++) {
          lines.add("step " + line + "\n");
        }
      } else if (request.getCommand().getShell().contains("sort")) {
        files.put("sorted.txt", sorted(files.getOrDefault("words.txt", ByteString.EMPTY)));
      }
      send(answer, 1, ExecutionEvent.newBuilder().setStarted(Started.getDefaultInstance()));
      long sequence = 2;
      for (String line : lines) {
        Output output = Output.newBuilder().setData(ByteString.copyFromUtf8(line)).build();
        send(answer, sequence++, ExecutionEvent.newBuilder().setStdout(output));
      }
      Finished finished =
          Finished.newBuilder()
              .setExitCode(exitCode)
              .setDuration(Duration.newBuilder().setSeconds(3))
              .setCostNanoUsd(100_000)
              .build();
      send(answer, sequence, ExecutionEvent.newBuilder().setFinished(finished));
      answer.onCompleted();
    }

    private static void send(
        StreamObserver<ExecuteResponse> answer, long sequence, ExecutionEvent.Builder event) {
      answer.onNext(ExecuteResponse.newBuilder().setEvent(event.setSequence(sequence)).build());
    }

    private static ByteString sorted(ByteString text) {
      String lines =
          Arrays.stream(text.toStringUtf8().split("\n", -1))
              .filter(line -> !line.isEmpty())
              .sorted()
              .collect(Collectors.joining("\n"));
      return ByteString.copyFromUtf8(lines + "\n");
    }
  }

  private static ByteString sha256(ByteString content) {
    try {
      byte[] hash = MessageDigest.getInstance("SHA-256").digest(content.toByteArray());
      return ByteString.copyFrom(hash);
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException(e);
    }
  }

  private final class Files extends FileServiceGrpc.FileServiceImplBase {
    @Override
    public StreamObserver<WriteFileRequest> writeFile(StreamObserver<WriteFileResponse> answer) {
      return new StreamObserver<>() {
        private String path = "";
        private ByteString content = ByteString.EMPTY;

        @Override
        public void onNext(WriteFileRequest part) {
          if (part.hasTarget()) {
            path = part.getTarget().getPath();
          } else {
            content = content.concat(part.getData());
          }
        }

        @Override
        public void onError(Throwable thrown) {}

        @Override
        public void onCompleted() {
          files.put(path, content);
          answer(answer, WriteFileResponse.newBuilder().setSha256(sha256(content)).build());
        }
      };
    }

    @Override
    public void readFile(ReadFileRequest request, StreamObserver<ReadFileResponse> answer) {
      ByteString content = files.getOrDefault(request.getPath(), ByteString.EMPTY);
      answer.onNext(ReadFileResponse.newBuilder().setFile(FileInfo.getDefaultInstance()).build());
      answer(answer, ReadFileResponse.newBuilder().setData(content.concat(corruption)).build());
    }
  }

  private final class Quotas extends QuotaServiceGrpc.QuotaServiceImplBase {
    @Override
    public void listLimits(ListLimitsRequest request, StreamObserver<ListLimitsResponse> answer) {
      answer(answer, ListLimitsResponse.newBuilder().addAllLimits(limits).build());
    }

    @Override
    public void setLimit(SetLimitRequest request, StreamObserver<SetLimitResponse> answer) {
      Limit limit =
          Limit.newBuilder()
              .setPeriod(request.getPeriod())
              .setAmountNanoUsd(request.getAmountNanoUsd())
              .build();
      limits.add(limit);
      answer(answer, SetLimitResponse.newBuilder().setLimit(limit).build());
    }

    @Override
    public void getQuota(GetQuotaRequest request, StreamObserver<GetQuotaResponse> answer) {
      GetQuotaResponse.Builder response = GetQuotaResponse.newBuilder();
      for (Limit limit : limits) {
        response.addQuotas(
            QuotaStatus.newBuilder()
                .setLimit(limit)
                .setSpentNanoUsd(COST)
                .setRemainingNanoUsd(limit.getAmountNanoUsd() - COST));
      }
      answer(answer, response.build());
    }
  }

  private static final class Prices extends PricingServiceGrpc.PricingServiceImplBase {
    @Override
    public void getPriceAt(GetPriceAtRequest request, StreamObserver<GetPriceAtResponse> answer) {
      Price price =
          Price.newBuilder()
              .setTier(request.getTier())
              .setBasis(PriceBasis.PRICE_BASIS_ALLOCATED)
              .setUsdPerSecond("0")
              .setUsdPerCoreSecond("0.000014")
              .setUsdPerGibSecond("0.0000045")
              .build();
      answer(answer, GetPriceAtResponse.newBuilder().setPrice(price).build());
    }
  }

  /** Has the records on two pages, newest first. */
  private final class Costs extends CostServiceGrpc.CostServiceImplBase {
    @Override
    public void listCostRecords(
        ListCostRecordsRequest request, StreamObserver<ListCostRecordsResponse> answer) {
      ListCostRecordsResponse.Builder page = ListCostRecordsResponse.newBuilder();
      if (request.getPageToken().isEmpty()) {
        page.addCostRecords(record(20, "", idleCost)).setNextPageToken("more");
      } else {
        page.addCostRecords(record(10, "e".repeat(20), 100_000));
      }
      answer(answer, page.build());
    }

    private static CostRecord record(long start, String executionId, long amount) {
      return CostRecord.newBuilder()
          .setStartTime(Timestamp.newBuilder().setSeconds(start))
          .setEndTime(Timestamp.newBuilder().setSeconds(start + 1))
          .setExecutionId(executionId)
          .setAmountNanoUsd(amount)
          .build();
    }
  }

  private final class Audit extends AuditServiceGrpc.AuditServiceImplBase {
    @Override
    public void verifyAuditChain(
        VerifyAuditChainRequest request, StreamObserver<VerifyAuditChainResponse> answer) {
      answer(
          answer,
          VerifyAuditChainResponse.newBuilder()
              .setIntact(auditIntact)
              .setEventCount(9)
              .setFirstBrokenSequence(auditIntact ? 0 : 4)
              .build());
    }
  }
}
