package dev.sandkeeper.server;

import com.google.protobuf.DescriptorProtos.FileDescriptorProto;
import com.google.protobuf.DescriptorProtos.FileDescriptorSet;
import com.google.protobuf.DescriptorProtos.ServiceDescriptorProto;
import com.google.protobuf.DescriptorProtos.SourceCodeInfo.Location;
import com.google.protobuf.Descriptors.FileDescriptor;
import com.google.protobuf.Descriptors.MethodDescriptor;
import dev.sandkeeper.v1.AdminServiceProto;
import dev.sandkeeper.v1.AuditServiceProto;
import dev.sandkeeper.v1.ContextServiceProto;
import dev.sandkeeper.v1.CostServiceProto;
import dev.sandkeeper.v1.EngineServiceProto;
import dev.sandkeeper.v1.ExecutionServiceProto;
import dev.sandkeeper.v1.FileServiceProto;
import dev.sandkeeper.v1.PricingServiceProto;
import dev.sandkeeper.v1.QuotaServiceProto;
import dev.sandkeeper.v1.SandboxServiceProto;
import dev.sandkeeper.v1.Scope;
import dev.sandkeeper.v1.SecretServiceProto;
import dev.sandkeeper.v1.TemplateServiceProto;
import dev.sandkeeper.v1.WebhookServiceProto;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.util.List;
import java.util.Locale;
import java.util.Objects;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Everything that can be called, for tests that walk it whole. */
public final class Contract {
  private static final String DESCRIPTOR_SET = "/META-INF/armeria/grpc/sandkeeper.dsc";
  private static final Pattern SCOPE =
      Pattern.compile("Needs\\s+the\\s+scope\\s+(read|run|admin)[.;]");

  /** The files that define services; a test compares them with what reflection shows. */
  static final List<FileDescriptor> FILES =
      List.of(
          AdminServiceProto.getDescriptor(),
          AuditServiceProto.getDescriptor(),
          ContextServiceProto.getDescriptor(),
          CostServiceProto.getDescriptor(),
          EngineServiceProto.getDescriptor(),
          ExecutionServiceProto.getDescriptor(),
          FileServiceProto.getDescriptor(),
          PricingServiceProto.getDescriptor(),
          QuotaServiceProto.getDescriptor(),
          SandboxServiceProto.getDescriptor(),
          SecretServiceProto.getDescriptor(),
          TemplateServiceProto.getDescriptor(),
          WebhookServiceProto.getDescriptor());

  private Contract() {}

  /** Returns every rpc. */
  public static List<MethodDescriptor> methods() {
    return FILES.stream()
        .flatMap(file -> file.getServices().stream())
        .flatMap(service -> service.getMethods().stream())
        .toList();
  }

  /** Returns the scope that an rpc needs, as its comment says; empty when it says none. */
  static Optional<Scope> scope(MethodDescriptor method) {
    FileDescriptorProto file =
        descriptorSet().getFileList().stream()
            .filter(found -> found.getName().equals(method.getFile().getFullName()))
            .findFirst()
            .orElseThrow();
    Matcher stated =
        SCOPE.matcher(
            comment(
                file,
                List.of(
                    FileDescriptorProto.SERVICE_FIELD_NUMBER,
                    method.getService().getIndex(),
                    ServiceDescriptorProto.METHOD_FIELD_NUMBER,
                    method.getIndex())));
    return stated.find()
        ? Optional.of(Scope.valueOf("SCOPE_" + stated.group(1).toUpperCase(Locale.ROOT)))
        : Optional.empty();
  }

  private static String comment(FileDescriptorProto file, List<Integer> path) {
    return file.getSourceCodeInfo().getLocationList().stream()
        .filter(location -> location.getPathList().equals(path))
        .map(Location::getLeadingComments)
        .findFirst()
        .orElse("");
  }

  private static FileDescriptorSet descriptorSet() {
    try (InputStream in =
        Objects.requireNonNull(Contract.class.getResourceAsStream(DESCRIPTOR_SET))) {
      return FileDescriptorSet.parseFrom(in);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }
}
