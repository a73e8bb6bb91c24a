package dev.sandkeeper.server.engine.guest;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;

/**
 * Who alone may open the sockets that an agent dials.
 *
 * @param folderUid owns their folder; the group of {@code uid} may enter it
 * @param uid user and group id of the sockets, in this process's namespace
 */
public record SocketOwner(int folderUid, int uid) {

  /** Returns the user that this process runs as. */
  public static SocketOwner ofThisProcess(Path anyOwnFolder) throws IOException {
    int uid = (int) Files.getAttribute(anyOwnFolder, "unix:uid");
    return new SocketOwner(uid, uid);
  }

  void giveFolder(Path folder) throws IOException {
    Files.setAttribute(folder, "unix:uid", folderUid);
    Files.setAttribute(folder, "unix:gid", uid);
    Files.setPosixFilePermissions(folder, PosixFilePermissions.fromString("rwx--x---"));
  }

  void giveSocket(Path socket) throws IOException {
    Files.setPosixFilePermissions(socket, PosixFilePermissions.fromString("rw-------"));
    Files.setAttribute(socket, "unix:uid", uid);
    Files.setAttribute(socket, "unix:gid", uid);
  }
}
