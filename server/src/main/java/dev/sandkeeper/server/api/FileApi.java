package dev.sandkeeper.server.api;

import dev.sandkeeper.server.base.Principal;
import dev.sandkeeper.server.base.SandboxId;
import dev.sandkeeper.server.base.SandkeeperException;
import dev.sandkeeper.server.base.Scope;
import dev.sandkeeper.server.execution.FileRange;
import dev.sandkeeper.server.execution.SandboxFiles;
import dev.sandkeeper.v1.CollectArtifactsRequest;
import dev.sandkeeper.v1.CollectArtifactsResponse;
import dev.sandkeeper.v1.FileServiceGrpc;
import dev.sandkeeper.v1.GetUploadRequest;
import dev.sandkeeper.v1.GetUploadResponse;
import dev.sandkeeper.v1.ListDirectoryRequest;
import dev.sandkeeper.v1.ListDirectoryResponse;
import dev.sandkeeper.v1.MakeDirectoryRequest;
import dev.sandkeeper.v1.MakeDirectoryResponse;
import dev.sandkeeper.v1.MoveRequest;
import dev.sandkeeper.v1.MoveResponse;
import dev.sandkeeper.v1.ReadFileRequest;
import dev.sandkeeper.v1.ReadFileResponse;
import dev.sandkeeper.v1.RemoveRequest;
import dev.sandkeeper.v1.RemoveResponse;
import dev.sandkeeper.v1.StatRequest;
import dev.sandkeeper.v1.StatResponse;
import dev.sandkeeper.v1.WatchDirectoryRequest;
import dev.sandkeeper.v1.WatchDirectoryResponse;
import dev.sandkeeper.v1.WriteFileRequest;
import dev.sandkeeper.v1.WriteFileResponse;
import io.grpc.stub.StreamObserver;
import java.util.UUID;
import org.jspecify.annotations.Nullable;

/** FileService. */
final class FileApi extends FileServiceGrpc.FileServiceImplBase {
  private final Calls calls;
  private final SandboxFiles files;
  private final OpenStreams openStreams;

  FileApi(Calls calls, SandboxFiles files, OpenStreams openStreams) {
    this.calls = calls;
    this.files = files;
    this.openStreams = openStreams;
  }

  @Override
  public StreamObserver<WriteFileRequest> writeFile(StreamObserver<WriteFileResponse> observer) {
    return new UploadObserver(calls.begin(Scope.RUN), observer);
  }

  @Override
  public void readFile(ReadFileRequest request, StreamObserver<ReadFileResponse> observer) {
    Principal principal = calls.begin(Scope.READ);
    calls.validate(request);
    openStreams.send(principal, observer, sender -> send(principal, request, sender));
  }

  @Override
  public void collectArtifacts(
      CollectArtifactsRequest request, StreamObserver<CollectArtifactsResponse> observer) {
    Principal principal = calls.begin(Scope.READ);
    calls.validate(request);
    openStreams.send(principal, observer, sender -> send(principal, request, sender));
  }

  private void send(
      Principal principal,
      CollectArtifactsRequest request,
      PacedSender<CollectArtifactsResponse> sender) {
    SentBytes sent = new SentBytes();
    int count =
        files.collect(
            principal,
            new SandboxId(request.getSandboxId()),
            request.getPath(),
            request.getPatternsList(),
            chunk ->
                sender.send(
                    CollectArtifactsResponse.newBuilder().setData(sent.add(chunk)).build()));
    sender.send(CollectArtifactsResponse.newBuilder().setEnd(sent.endOfArchive(count)).build());
  }

  private void send(
      Principal principal, ReadFileRequest request, PacedSender<ReadFileResponse> sender) {
    SentBytes sent = new SentBytes();
    files.read(
        principal,
        new SandboxId(request.getSandboxId()),
        request.getPath(),
        _ -> new FileRange(request.getOffset(), request.getLength()),
        file ->
            sender.send(ReadFileResponse.newBuilder().setFile(FileMapper.toProto(file)).build()),
        chunk -> sender.send(ReadFileResponse.newBuilder().setData(sent.add(chunk)).build()));
    sender.send(ReadFileResponse.newBuilder().setEnd(sent.endOfFile()).build());
  }

  @Override
  public void listDirectory(
      ListDirectoryRequest request, StreamObserver<ListDirectoryResponse> observer) {
    calls.answer(
        request,
        observer,
        Scope.READ,
        principal ->
            ListDirectoryResponse.newBuilder()
                .addAllFiles(
                    files
                        .list(
                            principal,
                            new SandboxId(request.getSandboxId()),
                            request.getPath(),
                            Math.max(1, request.getDepth()))
                        .stream()
                        .map(FileMapper::toProto)
                        .toList())
                .build());
  }

  @Override
  public void stat(StatRequest request, StreamObserver<StatResponse> observer) {
    calls.answer(
        request,
        observer,
        Scope.READ,
        principal ->
            StatResponse.newBuilder()
                .setFile(
                    FileMapper.toProto(
                        files.stat(
                            principal, new SandboxId(request.getSandboxId()), request.getPath())))
                .build());
  }

  @Override
  public void getUpload(GetUploadRequest request, StreamObserver<GetUploadResponse> observer) {
    calls.answer(
        request,
        observer,
        Scope.READ,
        principal ->
            GetUploadResponse.newBuilder()
                .setReceivedBytes(
                    files.uploadedBytes(
                        principal,
                        new SandboxId(request.getSandboxId()),
                        UUID.fromString(request.getUploadId())))
                .build());
  }

  @Override
  public void makeDirectory(
      MakeDirectoryRequest request, StreamObserver<MakeDirectoryResponse> observer) {
    calls.answer(
        request,
        observer,
        Scope.RUN,
        principal ->
            MakeDirectoryResponse.newBuilder()
                .setFile(
                    FileMapper.toProto(
                        files.makeDirectory(
                            principal, new SandboxId(request.getSandboxId()), request.getPath())))
                .build());
  }

  @Override
  public void move(MoveRequest request, StreamObserver<MoveResponse> observer) {
    calls.answer(
        request,
        observer,
        Scope.RUN,
        principal ->
            MoveResponse.newBuilder()
                .setFile(
                    FileMapper.toProto(
                        files.move(
                            principal,
                            new SandboxId(request.getSandboxId()),
                            request.getPath(),
                            request.getToPath(),
                            request.getReplace())))
                .build());
  }

  @Override
  public void remove(RemoveRequest request, StreamObserver<RemoveResponse> observer) {
    calls.answer(
        request,
        observer,
        Scope.RUN,
        principal -> {
          files.remove(
              principal,
              new SandboxId(request.getSandboxId()),
              request.getPath(),
              request.getRecursive());
          return RemoveResponse.getDefaultInstance();
        });
  }

  @Override
  public void watchDirectory(
      WatchDirectoryRequest request, StreamObserver<WatchDirectoryResponse> observer) {
    Principal principal = calls.begin(Scope.READ);
    calls.validate(request);
    openStreams.send(
        principal,
        observer,
        sender ->
            files.watch(
                principal,
                new SandboxId(request.getSandboxId()),
                request.getPath(),
                request.getRecursive(),
                directory ->
                    sender.send(
                        WatchDirectoryResponse.newBuilder()
                            .setDirectory(FileMapper.toProto(directory))
                            .build()),
                change ->
                    sender.send(
                        WatchDirectoryResponse.newBuilder()
                            .setChange(FileMapper.toProto(change))
                            .build())));
  }

  /**
   * Takes an upload; whatever ends it early leaves nothing in the sandbox, but for what can be gone
   * on with where it broke. Its messages come one after the other, but its end may come from
   * elsewhere.
   */
  private final class UploadObserver implements StreamObserver<WriteFileRequest> {
    private final Principal principal;
    private final StreamObserver<WriteFileResponse> observer;
    private final OpenStreams.Registration registration;
    private SandboxFiles.@Nullable Upload upload;
    private boolean over;

    UploadObserver(Principal principal, StreamObserver<WriteFileResponse> observer) {
      this.principal = principal;
      this.observer = observer;
      this.registration =
          openStreams.register(
              principal, failure -> Thread.startVirtualThread(() -> endEarly(failure)));
    }

    @Override
    public synchronized void onNext(WriteFileRequest request) {
      if (!over) {
        guarded(() -> take(request));
      }
    }

    @Override
    public synchronized void onError(Throwable cause) {
      leave();
    }

    @Override
    public synchronized void onCompleted() {
      if (over) {
        return;
      }
      guarded(() -> {
        SandboxFiles.Written written = require(upload).commit();
        observer.onNext(FileMapper.toProto(written));
        observer.onCompleted();
        end();
      });
    }

    private synchronized void endEarly(SandkeeperException failure) {
      if (!over) {
        leave();
        observer.onError(failure);
      }
    }

    private void take(WriteFileRequest request) {
      calls.validate(request);
      switch (request.getPartCase()) {
        case TARGET -> {
          if (upload != null) {
            throw SandkeeperException.invalidField(
                "target", "given again (expected: in the first message only)");
          }
          upload =
              files.write(
                  principal,
                  new SandboxId(request.getTarget().getSandboxId()),
                  request.getTarget().getPath(),
                  FileMapper.terms(request.getTarget()));
        }
        case DATA -> require(upload).append(request.getData().asReadOnlyByteBuffer());
        case PART_NOT_SET -> throw new IllegalStateException("refused by the contract's rules");
      }
    }

    private SandboxFiles.Upload require(SandboxFiles.@Nullable Upload begun) {
      if (begun == null) {
        throw SandkeeperException.invalidField("target", "absent (expected: in the first message)");
      }
      return begun;
    }

    private void guarded(Runnable work) {
      try {
        work.run();
      } catch (RuntimeException e) {
        abort();
        observer.onError(e);
      }
    }

    private void abort() {
      end();
      SandboxFiles.Upload begun = upload;
      if (begun != null) {
        begun.abort();
      }
    }

    /** It broke, for no fault of its own. */
    private void leave() {
      end();
      SandboxFiles.Upload begun = upload;
      if (begun != null) {
        begun.leave();
      }
    }

    private void end() {
      over = true;
      registration.close();
    }
  }
}
