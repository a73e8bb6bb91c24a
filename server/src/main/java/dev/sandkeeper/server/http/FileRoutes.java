package dev.sandkeeper.server.http;

import com.linecorp.armeria.common.HttpData;
import com.linecorp.armeria.common.HttpHeaderNames;
import com.linecorp.armeria.common.HttpRequest;
import com.linecorp.armeria.common.HttpResponse;
import com.linecorp.armeria.common.HttpStatus;
import com.linecorp.armeria.common.MediaType;
import com.linecorp.armeria.common.RequestHeaders;
import com.linecorp.armeria.common.ResponseHeaders;
import com.linecorp.armeria.common.ResponseHeadersBuilder;
import com.linecorp.armeria.server.ServiceRequestContext;
import dev.sandkeeper.server.api.Calls;
import dev.sandkeeper.server.api.FileMapper;
import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.server.base.Principal;
import dev.sandkeeper.server.base.SandboxId;
import dev.sandkeeper.server.base.SandkeeperException;
import dev.sandkeeper.server.base.Scope;
import dev.sandkeeper.server.engine.FileInfo;
import dev.sandkeeper.server.execution.FileRange;
import dev.sandkeeper.server.execution.SandboxFiles;
import dev.sandkeeper.server.execution.UploadTerms;
import dev.sandkeeper.v1.StatRequest;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;

/** The files of a sandbox as what they are: bytes, in both directions no faster than they go. */
final class FileRoutes {
  private static final int BUFFER_BYTES = 1 << 16;

  private final Calls calls;
  private final SandboxFiles files;

  FileRoutes(Calls calls, SandboxFiles files) {
    this.calls = calls;
    this.files = files;
  }

  /** Writes the body to a file, whole or not at all. */
  HttpResponse put(ServiceRequestContext context, HttpRequest request) {
    Principal principal = calls.begin(context, Scope.RUN);
    StatRequest target = target(context);
    if (request.headers().contains(HttpHeaderNames.CONTENT_RANGE)) {
      throw SandkeeperException.invalidField(
          "content-range", "given (expected: absent; a file is written whole)");
    }
    SandboxFiles.Upload upload =
        files.write(
            principal, new SandboxId(target.getSandboxId()), target.getPath(), UploadTerms.NONE);
    try {
      receive(request, upload);
      HttpStatus status = upload.replaces() ? HttpStatus.OK : HttpStatus.CREATED;
      return HttpResponse.of(
          headers(status).contentType(MediaType.JSON_UTF_8).build(),
          HttpData.ofUtf8(ProtoJson.print(FileMapper.toProto(upload.commit()))));
    } finally {
      upload.abort();
    }
  }

  private static void receive(HttpRequest request, SandboxFiles.Upload upload) {
    byte[] buffer = new byte[BUFFER_BYTES];
    try (InputStream body =
        request.toInputStream(part -> part instanceof HttpData data ? data : HttpData.empty())) {
      for (int read = body.read(buffer); read >= 0; read = body.read(buffer)) {
        upload.append(ByteBuffer.wrap(buffer, 0, read));
      }
    } catch (IOException e) {
      // What broke the request off, which is mostly that the client is gone.
      throw e.getCause() instanceof RuntimeException cause ? cause : new UncheckedIOException(e);
    }
  }

  /** Sends a file or one range of it. */
  HttpResponse get(ServiceRequestContext context, HttpRequest request) {
    Principal principal = calls.begin(context, Scope.READ);
    StatRequest target = target(context);
    return StreamedResponse.start(response -> {
      Download download = new Download(request.headers(), response);
      files.read(
          principal,
          new SandboxId(target.getSandboxId()),
          target.getPath(),
          download::choose,
          download::begin,
          download::send);
      download.end();
    });
  }

  /** Says what getting the whole file would say. */
  HttpResponse head(ServiceRequestContext context) {
    Principal principal = calls.begin(context, Scope.READ);
    StatRequest target = target(context);
    FileInfo file = files.stat(principal, new SandboxId(target.getSandboxId()), target.getPath());
    if (file.type() == FileInfo.Type.DIRECTORY) {
      throw SandkeeperException.of(
              ErrorReason.FILE_REFUSED, "The sandbox refuses that for this path.")
          .with("path", target.getPath());
    }
    return HttpResponse.of(headers(file, FileRange.WHOLE));
  }

  /** Returns what the request is about, held to the rules of the contract. */
  private StatRequest target(ServiceRequestContext context) {
    StatRequest target =
        StatRequest.newBuilder()
            .setSandboxId(context.pathParam("sandbox_id"))
            .setPath(FilePath.of(context))
            .build();
    calls.validate(target);
    return target;
  }

  private static ResponseHeadersBuilder headers(HttpStatus status) {
    return ResponseHeaders.builder(status).set(HttpHeaderNames.CACHE_CONTROL, "no-store");
  }

  private static ResponseHeaders headers(FileInfo file, FileRange part) {
    boolean whole = part.equals(FileRange.WHOLE);
    ResponseHeadersBuilder headers =
        headers(whole ? HttpStatus.OK : HttpStatus.PARTIAL_CONTENT)
            .contentType(MediaType.OCTET_STREAM)
            // Whatever is in it, no browser may take it for a page of this server.
            .set(HttpHeaderNames.X_CONTENT_TYPE_OPTIONS, "nosniff")
            .set(HttpHeaderNames.ACCEPT_RANGES, "bytes");
    if (file.sizeKnown()) {
      headers.contentLength(whole ? file.sizeBytes() : part.length());
    }
    if (!whole) {
      headers.set(
          HttpHeaderNames.CONTENT_RANGE,
          "bytes %d-%d/%d"
              .formatted(part.offset(), part.offset() + part.length() - 1, file.sizeBytes()));
    }
    return headers.build();
  }

  /** A file on its way. Belongs to the thread that reads it. */
  private static final class Download {
    private final RequestHeaders request;
    private final StreamedResponse response;
    private FileRange part = FileRange.WHOLE;
    private ResponseHeaders headers = ResponseHeaders.of(HttpStatus.OK);
    private long sentBytes;

    Download(RequestHeaders request, StreamedResponse response) {
      this.request = request;
      this.response = response;
    }

    FileRange choose(FileInfo file) {
      part = RangeHeader.of(request, file);
      return part;
    }

    void begin(FileInfo file) {
      headers = headers(file, part);
    }

    void send(ByteBuffer chunk) {
      beginResponse();
      byte[] copy = new byte[chunk.remaining()]; // the engine's buffer is good for this call only
      chunk.get(copy);
      sentBytes += copy.length;
      response.send(HttpData.wrap(copy));
    }

    /** A client that got fewer bytes than it was told must not take them for all. */
    void end() {
      beginResponse();
      if (headers.contentLength() >= 0 && headers.contentLength() != sentBytes) {
        throw new IllegalStateException("the file changed while it was read");
      }
    }

    /** Only with the first byte, for up to then the path may turn out to be unreadable. */
    private void beginResponse() {
      if (!response.hasBegun()) {
        response.begin(headers);
      }
    }
  }
}
