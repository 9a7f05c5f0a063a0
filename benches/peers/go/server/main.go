// The measured service on grpc-go: go-server --port P.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"

	"google.golang.org/grpc"

	"lariat.test/peers/helloworld"
)

type measured struct {
	helloworld.UnimplementedGreeterServer
}

func (measured) SayHello(_ context.Context, request *helloworld.HelloRequest) (*helloworld.HelloReply, error) {
	return &helloworld.HelloReply{Message: "Hello " + request.Name}, nil
}

func (measured) Download(request *helloworld.DownloadRequest, stream grpc.ServerStreamingServer[helloworld.Chunk]) error {
	chunk := &helloworld.Chunk{Payload: bytes.Repeat([]byte("x"), int(request.Size))}
	for range request.Count {
		if err := stream.Send(chunk); err != nil {
			return err
		}
	}
	return nil
}

func (measured) Echo(stream grpc.BidiStreamingServer[helloworld.Chunk, helloworld.Chunk]) error {
	for {
		chunk, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := stream.Send(chunk); err != nil {
			return err
		}
	}
}

func main() {
	port := flag.Int("port", 0, "port on the loopback address")
	flag.Parse()
	listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", *port))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("listening on", listener.Addr())
	server := grpc.NewServer()
	helloworld.RegisterGreeterServer(server, measured{})
	log.Fatal(server.Serve(listener))
}
