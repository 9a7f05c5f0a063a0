package main

import (
	"context"
	"errors"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"lariat.test/interop/helloworld"
)

// greeter answers names by the rules of interop/README.md.
type greeter struct {
	helloworld.UnimplementedGreeterServer
	cancelled sync.Map // the x-watch keys of calls that ended before their handler did
}

func (g *greeter) SayHello(ctx context.Context, request *helloworld.HelloRequest) (*helloworld.HelloReply, error) {
	defer g.watch(ctx)
	header, trailer := echoes(ctx)
	if err := errors.Join(grpc.SetHeader(ctx, header), grpc.SetTrailer(ctx, trailer)); err != nil {
		return nil, err
	}
	if key, asked := strings.CutPrefix(request.Name, "cancelled:"); asked {
		_, seen := g.cancelled.Load(key)
		return &helloworld.HelloReply{Message: strconv.FormatBool(seen)}, nil
	}
	return greet(ctx, request.Name)
}

func (g *greeter) SayHelloStreamReply(request *helloworld.HelloRequest, stream grpc.ServerStreamingServer[helloworld.HelloReply]) error {
	defer g.watch(stream.Context())
	header, trailer := echoes(stream.Context())
	stream.SetTrailer(trailer)
	if err := stream.SendHeader(header); err != nil {
		return err
	}
	if strings.HasPrefix(request.Name, "status:") {
		if err := stream.Send(&helloworld.HelloReply{Message: "Hello before the end"}); err != nil {
			return err
		}
	}
	for range 3 {
		reply, err := greet(stream.Context(), request.Name)
		if err != nil {
			return err
		}
		if err := stream.Send(reply); err != nil {
			return err
		}
	}
	return nil
}

func (g *greeter) SayHelloBidiStream(stream grpc.BidiStreamingServer[helloworld.HelloRequest, helloworld.HelloReply]) error {
	defer g.watch(stream.Context())
	header, trailer := echoes(stream.Context())
	stream.SetTrailer(trailer)
	if err := stream.SendHeader(header); err != nil {
		return err
	}
	for {
		request, err := stream.Recv()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		reply, err := greet(stream.Context(), request.Name)
		if err != nil {
			return err
		}
		if err := stream.Send(reply); err != nil {
			return err
		}
	}
}

// watch notes the x-watch key of a call that was cancelled before its handler ended, which is when this runs.
func (g *greeter) watch(ctx context.Context) {
	if ctx.Err() == nil {
		return
	}
	received, _ := metadata.FromIncomingContext(ctx)
	for _, key := range received.Get("x-watch") {
		g.cancelled.Store(key, true)
	}
}

// greet applies the rules that are the same for all three methods.
func greet(ctx context.Context, name string) (*helloworld.HelloReply, error) {
	if name == "" {
		return nil, status.Error(codes.InvalidArgument, "request missing required field: name")
	}
	if rest, asked := strings.CutPrefix(name, "status:"); asked {
		number, message, _ := strings.Cut(rest, ":")
		code, err := strconv.Atoi(number)
		if err != nil {
			return nil, status.Error(codes.InvalidArgument, err.Error())
		}
		return nil, status.Error(codes.Code(code), message)
	}
	if rest, asked := strings.CutPrefix(name, "delay:"); asked {
		milliseconds, err := strconv.Atoi(rest)
		if err != nil {
			return nil, status.Error(codes.InvalidArgument, err.Error())
		}
		select {
		case <-time.After(time.Duration(milliseconds) * time.Millisecond):
		case <-ctx.Done():
			return nil, status.FromContextError(ctx.Err()).Err()
		}
	}
	return &helloworld.HelloReply{Message: "Hello " + name}, nil
}

// echoes gives the header and the trailer that the request's x-echo and x-echo-bin ask for.
func echoes(ctx context.Context) (header, trailer metadata.MD) {
	received, _ := metadata.FromIncomingContext(ctx)
	header, trailer = metadata.MD{}, metadata.MD{}
	header.Append("x-echo", received.Get("x-echo")...)
	header.Append("x-echo-bin", received.Get("x-echo-bin")...)
	trailer.Append("x-echo-trailer", received.Get("x-echo")...)
	return header, trailer
}
