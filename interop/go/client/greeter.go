package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"

	"lariat.test/interop/helloworld"
)

// greeterChecks hold for any helloworld server of this project.
var greeterChecks = []check{
	{"greeter", "unary", unary},
	{"greeter", "server_streaming", serverStreaming},
	{"greeter", "bidi_streaming", bidiStreaming},
	{"greeter", "metadata", unaryMetadata},
	{"greeter", "missing_name", missingName},
	{"greeter", "deadline", deadline},
	{"greeter", "cancel", cancelBidi},
	{"greeter", "unknown_method", unknownMethod},
	{"greeter", "unknown_service", unknownService},
	{"greeter", "large_message", largeMessage},
	{"greeter", "large_stream", largeStream},
	{"greeter", "concurrent_calls", concurrentCalls},
}

// ruleChecks need a server that follows the rules of interop/README.md.
var ruleChecks = []check{
	{"rules", "metadata_stream", streamMetadata},
	{"rules", "metadata_duplicates", duplicateMetadata},
	{"rules", "status_message", statusMessage},
	{"rules", "server_abort", serverAbort},
	{"rules", "server_abort_bidi", serverAbortBidi},
	{"rules", "server_sees_cancel", serverSeesCancel},
	{"rules", "server_sees_deadline", serverSeesDeadline},
}

const awkward = "100 % of café, naïve 日本語 \U0001F40E\r\nand a second line"

func unary(ctx context.Context, p *peer) error {
	reply, err := p.greeter.SayHello(ctx, request("world"))
	if err != nil {
		return err
	}
	return expect("reply", reply.Message, "Hello world")
}

func serverStreaming(ctx context.Context, p *peer) error {
	stream, err := p.greeter.SayHelloStreamReply(ctx, request("world"))
	if err != nil {
		return err
	}
	for replies := 0; ; replies++ {
		reply, err := stream.Recv()
		if err == io.EOF && replies > 0 {
			return nil
		}
		if err != nil {
			return fmt.Errorf("after %d replies: %w", replies, err)
		}
		if !strings.HasPrefix(reply.Message, "Hello world") {
			return fmt.Errorf("reply %q", reply.Message)
		}
	}
}

func bidiStreaming(ctx context.Context, p *peer) error {
	stream, err := p.greeter.SayHelloBidiStream(ctx)
	if err != nil {
		return err
	}
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		if err := pingPong(stream, name); err != nil {
			return err
		}
	}
	return finish(stream)
}

func unaryMetadata(ctx context.Context, p *peer) error {
	blob := "\x00\x01\xfe\xff"
	var header, trailer metadata.MD
	ctx = metadata.AppendToOutgoingContext(ctx, "x-echo", "echoed value", "x-echo-bin", blob)
	if _, err := p.greeter.SayHello(ctx, request("world"), grpc.Header(&header), grpc.Trailer(&trailer)); err != nil {
		return err
	}
	return errors.Join(
		expectValues("header x-echo", header.Get("x-echo"), "echoed value"),
		expectValues("header x-echo-bin", header.Get("x-echo-bin"), blob),
		expectValues("trailer x-echo-trailer", trailer.Get("x-echo-trailer"), "echoed value"))
}

func streamMetadata(ctx context.Context, p *peer) error {
	ctx = metadata.AppendToOutgoingContext(ctx, "x-echo", "on a stream", "x-echo-bin", "\xff")
	stream, err := p.greeter.SayHelloBidiStream(ctx)
	if err != nil {
		return err
	}
	header, err := stream.Header() // before any message: the server must not wait for one
	if err != nil {
		return err
	}
	if err := errors.Join(pingPong(stream, "world"), finish(stream)); err != nil {
		return err
	}
	return errors.Join(
		expectValues("header x-echo", header.Get("x-echo"), "on a stream"),
		expectValues("header x-echo-bin", header.Get("x-echo-bin"), "\xff"),
		expectValues("trailer x-echo-trailer", stream.Trailer().Get("x-echo-trailer"), "on a stream"))
}

func duplicateMetadata(ctx context.Context, p *peer) error {
	var header, trailer metadata.MD
	ctx = metadata.AppendToOutgoingContext(ctx, "x-echo", "one", "x-echo", "two", "x-echo-bin", "\x00", "x-echo-bin", "\x01\x02")
	if _, err := p.greeter.SayHello(ctx, request("world"), grpc.Header(&header), grpc.Trailer(&trailer)); err != nil {
		return err
	}
	return errors.Join(
		expectValues("header x-echo", header.Get("x-echo"), "one", "two"),
		expectValues("header x-echo-bin", header.Get("x-echo-bin"), "\x00", "\x01\x02"),
		expectValues("trailer x-echo-trailer", trailer.Get("x-echo-trailer"), "one", "two"))
}

func missingName(ctx context.Context, p *peer) error {
	_, err := p.greeter.SayHello(ctx, request(""))
	return expectStatus(err, codes.InvalidArgument, "request missing required field: name")
}

func statusMessage(ctx context.Context, p *peer) error {
	_, err := p.greeter.SayHello(ctx, request("status:9:"+awkward))
	return expectStatus(err, codes.FailedPrecondition, awkward)
}

func deadline(ctx context.Context, p *peer) error {
	ctx, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
	defer cancel()
	// An hour: whoever waited for the answer would be ended by the script.
	_, err := p.greeter.SayHello(ctx, request("delay:3600000"))
	return expectStatus(err, codes.DeadlineExceeded, "")
}

func serverSeesDeadline(ctx context.Context, p *peer) error {
	key := watchKey()
	// Long enough for the call to reach its handler, on a busy machine as well.
	short, cancel := context.WithTimeout(metadata.AppendToOutgoingContext(ctx, "x-watch", key), time.Second)
	defer cancel()
	_, err := p.greeter.SayHello(short, request("delay:3600000"))
	return errors.Join(expectStatus(err, codes.DeadlineExceeded, ""), seenCancelled(ctx, p, key))
}

func cancelBidi(ctx context.Context, p *peer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := p.greeter.SayHelloBidiStream(ctx)
	if err != nil {
		return err
	}
	if err := errors.Join(pingPong(stream, "one"), pingPong(stream, "two")); err != nil {
		return err
	}
	cancel()
	_, err = stream.Recv()
	return expectStatus(err, codes.Canceled, "")
}

func serverSeesCancel(ctx context.Context, p *peer) error {
	key := watchKey()
	return errors.Join(cancelBidi(metadata.AppendToOutgoingContext(ctx, "x-watch", key), p), seenCancelled(ctx, p, key))
}

func serverAbort(ctx context.Context, p *peer) error {
	stream, err := p.greeter.SayHelloStreamReply(ctx, request("status:10:given up"))
	if err != nil {
		return err
	}
	if _, err := stream.Recv(); err != nil {
		return fmt.Errorf("before the first reply: %w", err)
	}
	_, err = stream.Recv()
	return expectStatus(err, codes.Aborted, "given up")
}

func serverAbortBidi(ctx context.Context, p *peer) error {
	stream, err := p.greeter.SayHelloBidiStream(ctx)
	if err != nil {
		return err
	}
	if err := errors.Join(pingPong(stream, "one"), stream.Send(request("status:10:given up"))); err != nil {
		return err
	}
	_, err = stream.Recv() // our side stays open: the server alone ends the call
	return expectStatus(err, codes.Aborted, "given up")
}

func unknownMethod(ctx context.Context, p *peer) error {
	return expectStatus(p.channel.Invoke(ctx, "/helloworld.Greeter/NoSuchMethod", request("x"), &helloworld.HelloReply{}), codes.Unimplemented, "")
}

func unknownService(ctx context.Context, p *peer) error {
	return expectStatus(p.channel.Invoke(ctx, "/no.such.Service/Method", request("x"), &helloworld.HelloReply{}), codes.Unimplemented, "")
}

func largeMessage(ctx context.Context, p *peer) error {
	name := strings.Repeat("x", 1<<20)
	reply, err := p.greeter.SayHello(ctx, request(name))
	if err != nil {
		return err
	}
	return expect("whether the reply is the whole name", reply.Message == "Hello "+name, true)
}

func largeStream(ctx context.Context, p *peer) error {
	stream, err := p.greeter.SayHelloBidiStream(ctx)
	if err != nil {
		return err
	}
	for i := range 8 {
		if err := pingPong(stream, strings.Repeat(string(rune('a'+i)), 512<<10)); err != nil {
			return err
		}
	}
	return finish(stream)
}

func concurrentCalls(ctx context.Context, p *peer) error {
	const calls = 100
	results := make(chan error, calls)
	for i := range calls {
		go func() {
			name := fmt.Sprintf("caller %d", i)
			reply, err := p.greeter.SayHello(ctx, request(name))
			if err == nil {
				err = expect("reply", reply.Message, "Hello "+name)
			}
			results <- err
		}()
	}
	var failures []error
	for range calls {
		failures = append(failures, <-results)
	}
	return errors.Join(failures...)
}

func request(name string) *helloworld.HelloRequest {
	return &helloworld.HelloRequest{Name: name}
}

type helloStream = grpc.BidiStreamingClient[helloworld.HelloRequest, helloworld.HelloReply]

// pingPong sends one name and waits for its greeting.
func pingPong(stream helloStream, name string) error {
	if err := stream.Send(request(name)); err != nil {
		return err
	}
	reply, err := stream.Recv()
	if err != nil {
		return err
	}
	if reply.Message != "Hello "+name {
		return fmt.Errorf("reply of %d octets to a name of %d, %.40q", len(reply.Message), len(name), reply.Message)
	}
	return nil
}

// finish closes our side and expects the call to end well.
func finish(stream helloStream) error {
	if err := stream.CloseSend(); err != nil {
		return err
	}
	if reply, err := stream.Recv(); err != io.EOF {
		return fmt.Errorf("%v, %v instead of the end", reply, err)
	}
	return nil
}

func watchKey() string {
	return fmt.Sprintf("go-%x", rand.Uint64())
}

// seenCancelled waits until the server says that the call with this x-watch key was cancelled.
func seenCancelled(ctx context.Context, p *peer, key string) error {
	for range 1000 {
		reply, err := p.greeter.SayHello(ctx, request("cancelled:"+key))
		if err != nil {
			return err
		}
		if reply.Message == "true" {
			return nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	return errors.New("the server did not see the call end")
}

func expectValues(what string, got []string, want ...string) error {
	if !slices.Equal(got, want) {
		return fmt.Errorf("%s is %q instead of %q", what, got, want)
	}
	return nil
}
