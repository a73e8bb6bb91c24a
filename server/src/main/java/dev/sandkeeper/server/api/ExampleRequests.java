package dev.sandkeeper.server.api;

import com.google.protobuf.ByteString;
import com.google.protobuf.Duration;
import com.linecorp.armeria.common.HttpHeaderNames;
import com.linecorp.armeria.common.HttpHeaders;
import com.linecorp.armeria.server.docs.DocServiceBuilder;
import dev.sandkeeper.v1.Attribution;
import dev.sandkeeper.v1.AuditServiceGrpc;
import dev.sandkeeper.v1.Code;
import dev.sandkeeper.v1.Command;
import dev.sandkeeper.v1.CostServiceGrpc;
import dev.sandkeeper.v1.CreateSandboxRequest;
import dev.sandkeeper.v1.CreateWebhookRequest;
import dev.sandkeeper.v1.ExecuteRequest;
import dev.sandkeeper.v1.ExecutionServiceGrpc;
import dev.sandkeeper.v1.ExpectedOutput;
import dev.sandkeeper.v1.FileServiceGrpc;
import dev.sandkeeper.v1.GetPriceAtRequest;
import dev.sandkeeper.v1.GetQuotaRequest;
import dev.sandkeeper.v1.GetSandboxRequest;
import dev.sandkeeper.v1.Language;
import dev.sandkeeper.v1.LimitPeriod;
import dev.sandkeeper.v1.ListCostRecordsRequest;
import dev.sandkeeper.v1.ListDirectoryRequest;
import dev.sandkeeper.v1.PricingServiceGrpc;
import dev.sandkeeper.v1.Program;
import dev.sandkeeper.v1.QuotaServiceGrpc;
import dev.sandkeeper.v1.RunOnceRequest;
import dev.sandkeeper.v1.RunTasksRequest;
import dev.sandkeeper.v1.SandboxServiceGrpc;
import dev.sandkeeper.v1.SecretServiceGrpc;
import dev.sandkeeper.v1.SetLimitRequest;
import dev.sandkeeper.v1.SetSecretRequest;
import dev.sandkeeper.v1.Task;
import dev.sandkeeper.v1.TerminateSandboxRequest;
import dev.sandkeeper.v1.TestCase;
import dev.sandkeeper.v1.TestCodeRequest;
import dev.sandkeeper.v1.VerifyAuditChainRequest;
import dev.sandkeeper.v1.WebhookServiceGrpc;

/** The example requests of the docs page. */
final class ExampleRequests {
  private static final String SANDBOX_ID = "0123456789abcdefghij";

  private ExampleRequests() {}

  static DocServiceBuilder addTo(DocServiceBuilder docs) {
    return docs.exampleHeaders(HttpHeaders.of(HttpHeaderNames.AUTHORIZATION, "Bearer YOUR-API-KEY"))
        .exampleRequests(
            SandboxServiceGrpc.SERVICE_NAME,
            "CreateSandbox",
            CreateSandboxRequest.newBuilder()
                .setRequestId("6f0c3a52-6d0e-4b8e-9a53-1f2c8f5b7e11")
                .setTimeout(Duration.newBuilder().setSeconds(300))
                .setAttribution(Attribution.newBuilder().setConversationId("conversation-1"))
                .build())
        .exampleRequests(
            SandboxServiceGrpc.SERVICE_NAME,
            "GetSandbox",
            GetSandboxRequest.newBuilder().setSandboxId(SANDBOX_ID).build())
        .exampleRequests(
            SandboxServiceGrpc.SERVICE_NAME,
            "Execute",
            ExecuteRequest.newBuilder()
                .setSandboxId(SANDBOX_ID)
                .setCode(
                    Code.newBuilder()
                        .setLanguage(Language.LANGUAGE_PYTHON)
                        .setSource("print(sum(range(10)))"))
                .build())
        .exampleRequests(
            SandboxServiceGrpc.SERVICE_NAME,
            "RunOnce",
            RunOnceRequest.newBuilder().setCommand(Command.newBuilder().setShell("uname")).build())
        .exampleRequests(
            ExecutionServiceGrpc.SERVICE_NAME,
            "RunTasks",
            RunTasksRequest.newBuilder()
                .setSandboxId(SANDBOX_ID)
                .setMaxConcurrency(2)
                .addTasks(
                    Task.newBuilder()
                        .setTaskId("task-1")
                        .setCommand(Command.newBuilder().setShell("uname")))
                .build())
        .exampleRequests(
            ExecutionServiceGrpc.SERVICE_NAME,
            "TestCode",
            TestCodeRequest.newBuilder()
                .setSandboxId(SANDBOX_ID)
                .setProgram(
                    Program.newBuilder()
                        .setCode(
                            Code.newBuilder()
                                .setLanguage(Language.LANGUAGE_PYTHON)
                                .setSource("print(int(input()) * 2)")))
                .setMaxConcurrency(2)
                .addCases(
                    TestCase.newBuilder()
                        .setCaseId("case-1")
                        .setStdin(ByteString.copyFromUtf8("21\n"))
                        .setOutput(
                            ExpectedOutput.newBuilder().setStdout(ByteString.copyFromUtf8("42\n"))))
                .build())
        .exampleRequests(
            SandboxServiceGrpc.SERVICE_NAME,
            "TerminateSandbox",
            TerminateSandboxRequest.newBuilder().setSandboxId(SANDBOX_ID).build())
        .exampleRequests(
            FileServiceGrpc.SERVICE_NAME,
            "ListDirectory",
            ListDirectoryRequest.newBuilder().setSandboxId(SANDBOX_ID).setPath(".").build())
        .exampleRequests(
            PricingServiceGrpc.SERVICE_NAME,
            "GetPriceAt",
            GetPriceAtRequest.newBuilder().setTier("standard").build())
        .exampleRequests(
            QuotaServiceGrpc.SERVICE_NAME,
            "SetLimit",
            SetLimitRequest.newBuilder()
                .setPeriod(LimitPeriod.LIMIT_PERIOD_DAY)
                .setAmountNanoUsd(1_000_000_000L)
                .build())
        .exampleRequests(
            QuotaServiceGrpc.SERVICE_NAME, "GetQuota", GetQuotaRequest.getDefaultInstance())
        .exampleRequests(
            CostServiceGrpc.SERVICE_NAME,
            "ListCostRecords",
            ListCostRecordsRequest.newBuilder().setSandboxId(SANDBOX_ID).build())
        .exampleRequests(
            WebhookServiceGrpc.SERVICE_NAME,
            "CreateWebhook",
            CreateWebhookRequest.newBuilder().setUrl("https://example.com/alerts").build())
        .exampleRequests(
            SecretServiceGrpc.SERVICE_NAME,
            "SetSecret",
            SetSecretRequest.newBuilder().setName("API_TOKEN").setValue("a value").build())
        .exampleRequests(
            AuditServiceGrpc.SERVICE_NAME,
            "VerifyAuditChain",
            VerifyAuditChainRequest.getDefaultInstance());
  }
}
