package sandkeeper_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"sandkeeper.dev/go/sandkeeperv1"
)

var someBytes = bytes.Repeat([]byte("some bytes, "), 100_000)

// kept is what a server got.
type kept struct {
	path    string
	bytes   []byte
	largest int
	whole   chan bool
}

func keeping() (*fakeServer, *kept) {
	kept := &kept{whole: make(chan bool, 1)}
	return &fakeServer{writeFile: func(
		stream grpc.ClientStreamingServer[sandkeeperv1.WriteFileRequest, sandkeeperv1.WriteFileResponse],
	) error {
		for {
			request, err := stream.Recv()
			if errors.Is(err, io.EOF) {
				kept.whole <- true
				return stream.SendAndClose(&sandkeeperv1.WriteFileResponse{
					File: &sandkeeperv1.FileInfo{SizeBytes: int64(len(kept.bytes))},
				})
			}
			if err != nil {
				kept.whole <- false
				return err
			}
			if target := request.GetTarget(); target != nil {
				kept.path = target.GetPath()
			}
			kept.bytes = append(kept.bytes, request.GetData()...)
			kept.largest = max(kept.largest, len(request.GetData()))
		}
	}}, kept
}

func TestUpload(t *testing.T) {
	for name, source := range map[string][]byte{"bytes": someBytes, "nothing": {}} {
		t.Run("of "+name, func(t *testing.T) {
			server, kept := keeping()
			client := connect(t, server.start(t).target)
			response, err := client.Upload(t.Context(), sandboxID, "a/b", iotest.HalfReader(bytes.NewReader(source)))
			if err != nil {
				t.Fatal(err)
			}
			if response.GetFile().GetSizeBytes() != int64(len(source)) || kept.path != "a/b" ||
				!bytes.Equal(kept.bytes, source) || kept.largest > 1<<20 {
				t.Errorf("kept %d bytes of %q, %v", len(kept.bytes), kept.path, response)
			}
		})
	}

	t.Run("of a file", func(t *testing.T) {
		server, kept := keeping()
		file := filepath.Join(t.TempDir(), "source")
		if err := os.WriteFile(file, someBytes, 0o600); err != nil {
			t.Fatal(err)
		}
		client := connect(t, server.start(t).target)
		if _, err := client.UploadFile(t.Context(), sandboxID, "copy", file); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(kept.bytes, someBytes) {
			t.Errorf("kept %d bytes", len(kept.bytes))
		}
		if _, err := client.UploadFile(t.Context(), sandboxID, "copy", file+".none"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("a file that is not there gave %v", err)
		}
	})

	t.Run("of a source that breaks leaves nothing", func(t *testing.T) {
		server, kept := keeping()
		broken := errors.New("the source broke")
		source := io.MultiReader(bytes.NewReader(someBytes), iotest.ErrReader(broken))
		_, err := connect(t, server.start(t).target).Upload(t.Context(), sandboxID, "copy", source)
		if !errors.Is(err, broken) {
			t.Errorf("got %v", err)
		}
		if <-kept.whole {
			t.Error("the server took it for whole")
		}
	})

	t.Run("that the server refuses in the middle says why", func(t *testing.T) {
		server := &fakeServer{writeFile: func(
			stream grpc.ClientStreamingServer[sandkeeperv1.WriteFileRequest, sandkeeperv1.WriteFileResponse],
		) error {
			for range 3 {
				if _, err := stream.Recv(); err != nil {
					return err
				}
			}
			return refusal(codes.ResourceExhausted, "SIZE_LIMIT_EXCEEDED")
		}}
		endless := &countingReader{}
		_, err := connect(t, server.start(t).target).Upload(t.Context(), sandboxID, "large", endless)
		wantError(t, err, codes.ResourceExhausted, "SIZE_LIMIT_EXCEEDED")
		if endless.read > 64<<20 {
			t.Errorf("%d bytes were taken", endless.read)
		}
	})
}

type countingReader struct{ read int }

func (c *countingReader) Read(p []byte) (int, error) {
	c.read += len(p)
	return len(p), nil
}

// serving gives a file in parts, and breaks after so many.
func serving(parts int) *fakeServer {
	return &fakeServer{readFile: func(
		request *sandkeeperv1.ReadFileRequest, stream grpc.ServerStreamingServer[sandkeeperv1.ReadFileResponse],
	) error {
		if request.GetPath() != "data" {
			return refusal(codes.NotFound, "FILE_NOT_FOUND")
		}
		info := &sandkeeperv1.FileInfo{Path: "/home/user/data", SizeBytes: int64(len(someBytes))}
		err := stream.Send(&sandkeeperv1.ReadFileResponse{Part: &sandkeeperv1.ReadFileResponse_File{File: info}})
		left := someBytes[request.GetOffset():]
		if request.GetLength() > 0 {
			left = left[:request.GetLength()]
		}
		for ; err == nil && len(left) > 0; parts-- {
			if parts == 0 {
				return status.Error(codes.Unavailable, "broke")
			}
			data := left[:min(256<<10, len(left))]
			left = left[len(data):]
			err = stream.Send(&sandkeeperv1.ReadFileResponse{Part: &sandkeeperv1.ReadFileResponse_Data{Data: data}})
		}
		return err
	}}
}

func TestDownload(t *testing.T) {
	client := connect(t, serving(-1).start(t).target)
	breaking := connect(t, serving(2).start(t).target)

	t.Run("of a whole file and of a range", func(t *testing.T) {
		var whole, part bytes.Buffer
		info, err := client.Download(t.Context(), sandboxID, "data", &whole)
		if err != nil || info.GetPath() != "/home/user/data" || !bytes.Equal(whole.Bytes(), someBytes) {
			t.Errorf("got %d bytes of %v, %v", whole.Len(), info, err)
		}
		if _, err := client.DownloadRange(t.Context(), sandboxID, "data", 5, 600_000, &part); err != nil ||
			!bytes.Equal(part.Bytes(), someBytes[5:600_005]) {
			t.Errorf("got %d bytes, %v", part.Len(), err)
		}
	})

	t.Run("into a file replaces it", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "target")
		if err := os.WriteFile(file, []byte("before"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := client.DownloadFile(t.Context(), sandboxID, "data", file); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(file); err != nil || !bytes.Equal(got, someBytes) {
			t.Errorf("%d bytes, %v", len(got), err)
		}
	})

	t.Run("that breaks leaves the file as it was, and nothing beside it", func(t *testing.T) {
		folder := t.TempDir()
		file := filepath.Join(folder, "target")
		if err := os.WriteFile(file, []byte("before"), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := breaking.DownloadFile(t.Context(), sandboxID, "data", file)
		wantError(t, err, codes.Unavailable, "UNAVAILABLE")
		if got, err := os.ReadFile(file); err != nil || string(got) != "before" {
			t.Errorf("%d bytes, %v", len(got), err)
		}
		if entries, err := os.ReadDir(folder); err != nil || len(entries) != 1 {
			t.Errorf("%v, %v", entries, err)
		}
	})

	t.Run("of a file that is not there is refused", func(t *testing.T) {
		_, err := client.Download(t.Context(), sandboxID, "none", &strings.Builder{})
		wantError(t, err, codes.NotFound, "FILE_NOT_FOUND")
	})
}
