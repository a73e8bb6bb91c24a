package dev.sandkeeper.server.api;

import com.google.protobuf.Descriptors.FieldDescriptor;
import com.google.protobuf.FieldMask;
import com.google.protobuf.util.FieldMaskUtil;
import dev.sandkeeper.server.base.SandkeeperException;
import dev.sandkeeper.server.egress.NetworkPolicy;
import dev.sandkeeper.server.sandbox.Template;
import dev.sandkeeper.v1.Resources;
import dev.sandkeeper.v1.UpdateTemplateRequest;
import java.time.Duration;
import java.util.Optional;

/** Templates on the wire. */
final class TemplateMapper {
  private static final String DEFAULT_TIER = "standard";
  private static final int DEFAULT_DISK_MIB = 512;
  private static final Duration DEFAULT_TIMEOUT = Duration.ofSeconds(60);
  private static final Duration MAX_TIMEOUT = Duration.ofHours(24);

  private static final Resources DEFAULT_RESOURCES = resources(2, 1024);
  private static final Resources MIN_RESOURCES = resources(1, 512);
  private static final Resources MAX_RESOURCES = resources(8, 8192);

  private static final FieldMaskUtil.MergeOptions REPLACE =
      new FieldMaskUtil.MergeOptions()
          .setReplaceMessageFields(true)
          .setReplaceRepeatedFields(true)
          .setReplacePrimitiveFields(true);

  private TemplateMapper() {}

  static dev.sandkeeper.v1.Template toProto(Template template) {
    Template.Range cores = template.cpuCores();
    Template.Range memory = template.memoryMib();
    dev.sandkeeper.v1.Template.Builder proto =
        dev.sandkeeper.v1.Template.newBuilder()
            .setName(template.name())
            .setDescription(template.description())
            .setTier(template.tier())
            .setEngine(template.engine().orElse(""))
            .setEngineTemplate(template.engineTemplate().orElse(""))
            .addAllFallbackEngines(template.fallbackEngines())
            .setRuntime(template.runtime().orElse(""))
            .setDefaultResources(resources(cores.standard(), memory.standard()))
            .setMinResources(resources(cores.min(), memory.min()))
            .setMaxResources(resources(cores.max(), memory.max()))
            .setDiskMib(template.diskMib())
            .setDefaultTimeout(Times.toProto(template.defaultTimeout()))
            .setMaxTimeout(Times.toProto(template.maxTimeout()))
            .addAllImports(template.imports());
    NetworkMapper.toProto(template.network()).ifPresent(proto::setNetwork);
    NetworkMapper.toProto(template.maxNetwork()).ifPresent(proto::setMaxNetwork);
    if (!template.commandPolicy().isEmpty()) {
      proto.setCommandPolicy(CommandPolicyMapper.toProto(template.commandPolicy()));
    }
    return proto.build();
  }

  /** Returns the template of that name; what is absent is as {@code base} comes with it. */
  static Template fromProto(String name, dev.sandkeeper.v1.Template proto) {
    Resources standard = orElse(proto.getDefaultResources(), DEFAULT_RESOURCES);
    Resources min = orElse(proto.getMinResources(), MIN_RESOURCES);
    Resources max = orElse(proto.getMaxResources(), MAX_RESOURCES);
    NetworkPolicy network = NetworkMapper.fromProto("template.network", proto.getNetwork());
    return new Template(
        name,
        proto.getDescription(),
        proto.getTier().isEmpty() ? DEFAULT_TIER : proto.getTier(),
        named(proto.getEngine()),
        named(proto.getEngineTemplate()),
        proto.getFallbackEnginesList(),
        named(proto.getRuntime()),
        new Template.Range(standard.getCpuCores(), min.getCpuCores(), max.getCpuCores()),
        new Template.Range(standard.getMemoryMib(), min.getMemoryMib(), max.getMemoryMib()),
        proto.getDiskMib() == 0 ? DEFAULT_DISK_MIB : proto.getDiskMib(),
        Times.fromProto(proto.hasDefaultTimeout(), proto.getDefaultTimeout())
            .orElse(DEFAULT_TIMEOUT),
        Times.fromProto(proto.hasMaxTimeout(), proto.getMaxTimeout()).orElse(MAX_TIMEOUT),
        proto.getImportsList(),
        network,
        proto.hasMaxNetwork()
            ? NetworkMapper.fromProto("template.max_network", proto.getMaxNetwork())
            : network,
        CommandPolicyMapper.fromProto("template.command_policy", proto.getCommandPolicy()));
  }

  /**
   * Returns which fields a change is of.
   *
   * @throws SandkeeperException {@code INVALID_FIELD} for none, and for one that there is not
   */
  static FieldMask changed(UpdateTemplateRequest request) {
    FieldMask mask = request.getUpdateMask();
    if (!request.hasUpdateMask()) {
      mask =
          FieldMaskUtil.fromStringList(
              request.getTemplate().getAllFields().keySet().stream()
                  .map(FieldDescriptor::getName)
                  .toList());
    }
    if (mask.getPathsCount() == 0) {
      throw SandkeeperException.invalidField(
          "update_mask", "no fields (expected: those of the template that change)");
    }
    for (String path : mask.getPathsList()) {
      if (!FieldMaskUtil.isValid(dev.sandkeeper.v1.Template.class, path)) {
        throw SandkeeperException.invalidField(
            "update_mask", path + " (expected: a field of the template)");
      }
    }
    return mask;
  }

  /** Returns the template with those fields changed. */
  static Template merge(Template template, FieldMask mask, dev.sandkeeper.v1.Template changes) {
    dev.sandkeeper.v1.Template.Builder merged = toProto(template).toBuilder();
    FieldMaskUtil.merge(mask, changes, merged, REPLACE);
    return fromProto(template.name(), merged.build());
  }

  private static Optional<String> named(String name) {
    return Optional.of(name).filter(given -> !given.isEmpty());
  }

  private static Resources orElse(Resources given, Resources standard) {
    return resources(
        given.getCpuCores() == 0 ? standard.getCpuCores() : given.getCpuCores(),
        given.getMemoryMib() == 0 ? standard.getMemoryMib() : given.getMemoryMib());
  }

  private static Resources resources(int cpuCores, int memoryMib) {
    return Resources.newBuilder().setCpuCores(cpuCores).setMemoryMib(memoryMib).build();
  }
}
