package dev.sandkeeper.server.api;

import com.google.protobuf.ByteString;
import dev.sandkeeper.server.base.SandkeeperException;
import dev.sandkeeper.server.engine.FileEntry;
import dev.sandkeeper.server.execution.SandboxFiles;
import dev.sandkeeper.server.execution.UploadTerms;
import dev.sandkeeper.v1.FileChange;
import dev.sandkeeper.v1.FileChangeType;
import dev.sandkeeper.v1.FileInfo;
import dev.sandkeeper.v1.FileType;
import dev.sandkeeper.v1.WriteFileResponse;
import dev.sandkeeper.v1.WriteFileTarget;
import java.util.UUID;

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

  static FileInfo toProto(FileEntry entry) {
    return toProto(entry.file()).toBuilder().setRelativePath(entry.relativePath()).build();
  }

  static FileChange toProto(dev.sandkeeper.server.engine.FileChange change) {
    return FileChange.newBuilder()
        .setType(
            switch (change.type()) {
              case CREATE -> FileChangeType.FILE_CHANGE_TYPE_CREATE;
              case WRITE -> FileChangeType.FILE_CHANGE_TYPE_WRITE;
              case REMOVE -> FileChangeType.FILE_CHANGE_TYPE_REMOVE;
              case RENAME -> FileChangeType.FILE_CHANGE_TYPE_RENAME;
              case CHMOD -> FileChangeType.FILE_CHANGE_TYPE_CHMOD;
              case OVERFLOW -> FileChangeType.FILE_CHANGE_TYPE_OVERFLOW;
            })
        .setPath(change.path())
        .setFromPath(change.fromPath())
        .build();
  }

  static UploadTerms terms(WriteFileTarget target) {
    if (target.getUploadId().isEmpty() && target.getOffset() > 0) {
      throw SandkeeperException.invalidField(
          "target.offset", target.getOffset() + " (expected: 0 without upload_id)");
    }
    if (target.getUnpack() && !target.getUploadId().isEmpty()) {
      throw SandkeeperException.invalidField(
          "target.upload_id", target.getUploadId() + " (expected: absent with unpack)");
    }
    return new UploadTerms(
        target.getUploadId().isEmpty() ? null : UUID.fromString(target.getUploadId()),
        target.getOffset(),
        target.getUnpack(),
        target.hasSizeBytes() ? target.getSizeBytes() : null,
        target.getSha256().isEmpty() ? null : target.getSha256().toByteArray());
  }

  /** Describes a file that was written. */
  public static WriteFileResponse toProto(SandboxFiles.Written written) {
    return WriteFileResponse.newBuilder()
        .setFile(toProto(written.file()))
        .setSha256(ByteString.copyFrom(written.sha256()))
        .build();
  }
}
