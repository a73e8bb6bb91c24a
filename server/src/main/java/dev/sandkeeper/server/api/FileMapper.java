package dev.sandkeeper.server.api;

import com.google.protobuf.ByteString;
import dev.sandkeeper.server.execution.SandboxFiles;
import dev.sandkeeper.v1.FileInfo;
import dev.sandkeeper.v1.FileType;
import dev.sandkeeper.v1.WriteFileResponse;

/** Files on the wire. */
public final class FileMapper {
  private FileMapper() {}

  static FileInfo toProto(dev.sandkeeper.server.engine.FileInfo file) {
    return FileInfo.newBuilder()
        .setPath(file.path())
        .setType(
            switch (file.type()) {
              case FILE -> FileType.FILE_TYPE_FILE;
              case DIRECTORY -> FileType.FILE_TYPE_DIRECTORY;
              case SYMLINK -> FileType.FILE_TYPE_SYMLINK;
              case OTHER -> FileType.FILE_TYPE_UNSPECIFIED;
            })
        .setSizeBytes(file.sizeBytes())
        .setMode(file.mode())
        .setModifyTime(Times.toProto(file.modifyTime()))
        .build();
  }

  /** Describes a file that was written. */
  public static WriteFileResponse toProto(SandboxFiles.Written written) {
    return WriteFileResponse.newBuilder()
        .setFile(toProto(written.file()))
        .setSha256(ByteString.copyFrom(written.sha256()))
        .build();
  }
}
