package dev.sandkeeper.server.http;

import com.google.protobuf.DescriptorProtos.DescriptorProto;
import com.google.protobuf.DescriptorProtos.EnumDescriptorProto;
import com.google.protobuf.DescriptorProtos.FileDescriptorProto;
import com.google.protobuf.DescriptorProtos.FileDescriptorSet;
import com.google.protobuf.DescriptorProtos.ServiceDescriptorProto;
import com.google.protobuf.DescriptorProtos.SourceCodeInfo.Location;
import com.google.protobuf.Descriptors.GenericDescriptor;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;

/**
 * The comments of the contract, which generated classes do not carry; the descriptor set beside
 * them does.
 */
final class Comments {
  private static final String DESCRIPTOR_SET = "/META-INF/armeria/grpc/sandkeeper.dsc";

  private final Map<String, String> byName = new HashMap<>();

  private Comments() {}

  /** Reads the comments that were compiled with the contract. */
  static Comments read() {
    Comments comments = new Comments();
    try (InputStream in =
        Objects.requireNonNull(
            Comments.class.getResourceAsStream(DESCRIPTOR_SET), DESCRIPTOR_SET)) {
      FileDescriptorSet.parseFrom(in).getFileList().forEach(comments::add);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    return comments;
  }

  /** Returns the comment on an element as paragraphs of one line each; empty when there is none. */
  String of(GenericDescriptor element) {
    return byName.getOrDefault(element.getFullName(), "");
  }

  private void add(FileDescriptorProto file) {
    Map<List<Integer>, String> texts = new HashMap<>();
    for (Location location : file.getSourceCodeInfo().getLocationList()) {
      texts.put(location.getPathList(), text(location.getLeadingComments()));
    }
    String scope = file.getPackage();
    for (int i = 0; i < file.getMessageTypeCount(); i++) {
      add(
          texts,
          scope,
          file.getMessageType(i),
          List.of(FileDescriptorProto.MESSAGE_TYPE_FIELD_NUMBER, i));
    }
    for (int i = 0; i < file.getEnumTypeCount(); i++) {
      add(
          texts,
          scope,
          file.getEnumType(i),
          List.of(FileDescriptorProto.ENUM_TYPE_FIELD_NUMBER, i));
    }
    for (int i = 0; i < file.getServiceCount(); i++) {
      ServiceDescriptorProto service = file.getService(i);
      String name = scope + "." + service.getName();
      List<Integer> path = List.of(FileDescriptorProto.SERVICE_FIELD_NUMBER, i);
      put(texts, name, path);
      for (int j = 0; j < service.getMethodCount(); j++) {
        put(
            texts,
            name + "." + service.getMethod(j).getName(),
            child(path, ServiceDescriptorProto.METHOD_FIELD_NUMBER, j));
      }
    }
  }

  private void add(
      Map<List<Integer>, String> texts, String scope, DescriptorProto message, List<Integer> path) {
    String name = scope + "." + message.getName();
    put(texts, name, path);
    for (int i = 0; i < message.getFieldCount(); i++) {
      put(
          texts,
          name + "." + message.getField(i).getName(),
          child(path, DescriptorProto.FIELD_FIELD_NUMBER, i));
    }
  }

  private void add(
      Map<List<Integer>, String> texts,
      String scope,
      EnumDescriptorProto type,
      List<Integer> path) {
    put(texts, scope + "." + type.getName(), path);
    for (int i = 0; i < type.getValueCount(); i++) {
      put(
          texts,
          scope + "." + type.getName() + "." + type.getValue(i).getName(),
          child(path, EnumDescriptorProto.VALUE_FIELD_NUMBER, i));
    }
  }

  private void put(Map<List<Integer>, String> texts, String name, List<Integer> path) {
    byName.put(name, texts.getOrDefault(path, ""));
  }

  private static List<Integer> child(List<Integer> path, int field, int index) {
    return List.of(path.get(0), path.get(1), field, index);
  }

  private static String text(String comment) {
    return comment
        .strip()
        .replaceAll(" *\n *\n *", "\u0000")
        .replaceAll(" *\n *", " ")
        .replace("\u0000", "\n\n");
  }
}
