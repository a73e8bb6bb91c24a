package sandkeeper

import (
	"context"
	"errors"
	"io"
	"os"

	"sandkeeper.dev/go/sandkeeperv1"
)

const chunkBytes = 256 << 10

// Upload writes a file whole. Missing folders are made; a file of that name is replaced when the last byte has come. It
// reads no faster than the server takes the bytes. When the source fails, its error is returned and nothing is written.
//
// The path is inside the sandbox; a relative one starts at /home/user.
func (c *Client) Upload(
	ctx context.Context, sandboxID, path string, source io.Reader,
) (*sandkeeperv1.WriteFileResponse, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.Files.WriteFile(ctx)
	if err != nil {
		return nil, err
	}
	target := &sandkeeperv1.WriteFileTarget{SandboxId: sandboxID, Path: path}
	err = stream.Send(&sandkeeperv1.WriteFileRequest{Part: &sandkeeperv1.WriteFileRequest_Target{Target: target}})
	for err == nil {
		buffer := make([]byte, chunkBytes)
		n, broken := io.ReadFull(source, buffer)
		if n > 0 {
			data := &sandkeeperv1.WriteFileRequest_Data{Data: buffer[:n]}
			err = stream.Send(&sandkeeperv1.WriteFileRequest{Part: data})
		}
		if errors.Is(broken, io.EOF) || errors.Is(broken, io.ErrUnexpectedEOF) {
			break
		}
		if broken != nil {
			return nil, broken
		}
	}
	// A server that refused has ended the stream, which Send shows as io.EOF; the answer says why.
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return stream.CloseAndRecv()
}

// UploadFile writes a file of this machine to one in the sandbox; see [Client.Upload].
func (c *Client) UploadFile(
	ctx context.Context, sandboxID, path, file string,
) (*sandkeeperv1.WriteFileResponse, error) {
	source, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer source.Close()
	return c.Upload(ctx, sandboxID, path, source)
}

// Download reads a file, no faster than the target takes the bytes, and returns the file as it was when reading began.
func (c *Client) Download(
	ctx context.Context, sandboxID, path string, target io.Writer,
) (*sandkeeperv1.FileInfo, error) {
	return c.DownloadRange(ctx, sandboxID, path, 0, 0, target)
}

// DownloadRange reads a part of a file: it skips offset bytes and reads at most length, or to the end when that is 0.
func (c *Client) DownloadRange(
	ctx context.Context, sandboxID, path string, offset, length int64, target io.Writer,
) (*sandkeeperv1.FileInfo, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.Files.ReadFile(ctx, &sandkeeperv1.ReadFileRequest{
		SandboxId: sandboxID, Path: path, Offset: offset, Length: length,
	})
	if err != nil {
		return nil, err
	}
	var file *sandkeeperv1.FileInfo
	for {
		response, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return file, nil
		}
		if err != nil {
			return nil, err
		}
		switch part := response.GetPart().(type) {
		case *sandkeeperv1.ReadFileResponse_File:
			file = part.File
		case *sandkeeperv1.ReadFileResponse_Data:
			if _, err := target.Write(part.Data); err != nil {
				return nil, err
			}
		}
	}
}

// DownloadFile reads a file of the sandbox into one on this machine, which appears, or is replaced, when all bytes have
// come.
func (c *Client) DownloadFile(
	ctx context.Context, sandboxID, path, file string,
) (*sandkeeperv1.FileInfo, error) {
	part, err := os.OpenFile(file+"."+newRequestID()+".part", os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return nil, err
	}
	defer os.Remove(part.Name())
	info, err := c.Download(ctx, sandboxID, path, part)
	if closed := part.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return nil, err
	}
	return info, os.Rename(part.Name(), file)
}
