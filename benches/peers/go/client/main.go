// grpc-go's client under load, with the modes and the line of JSON of lariat-client.
//
//	go-client unary ADDR CONNS INFLIGHT CALLS SIZE | down ADDR COUNT SIZE | bidi ADDR COUNT SIZE
package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"lariat.test/peers/helloworld"
)

const usage = "usage: go-client unary ADDR CONNS INFLIGHT CALLS SIZE | down ADDR COUNT SIZE | bidi ADDR COUNT SIZE"

func main() {
	if len(os.Args) < 3 {
		log.Fatal(usage)
	}
	kind, addr := os.Args[1], os.Args[2]
	var numbers []int
	for _, text := range os.Args[3:] {
		number, err := strconv.Atoi(text)
		if err != nil {
			log.Fatal(usage)
		}
		numbers = append(numbers, number)
	}
	var measured *run
	var err error
	switch {
	case kind == "unary" && len(numbers) == 4:
		measured, err = unary(addr, numbers[0], numbers[1], numbers[2], numbers[3])
	case kind == "down" && len(numbers) == 2:
		measured, err = down(addr, numbers[0], numbers[1])
	case kind == "bidi" && len(numbers) == 2:
		measured, err = bidi(addr, numbers[0], numbers[1])
	default:
		log.Fatal(usage)
	}
	if err != nil {
		log.Fatal(err)
	}
	measured.report()
}

// connect makes a client whose connection stands.
func connect(addr string) (helloworld.GreeterClient, error) {
	connection, err := grpc.NewClient("passthrough:///"+addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, err
	}
	client := helloworld.NewGreeterClient(connection)
	_, err = client.SayHello(context.Background(), &helloworld.HelloRequest{Name: "x"})
	return client, err
}

func unary(addr string, connections, inFlight, calls, size int) (*run, error) {
	var clients []helloworld.GreeterClient
	for range connections {
		client, err := connect(addr)
		if err != nil {
			return nil, err
		}
		clients = append(clients, client)
	}
	name := strings.Repeat("x", size)
	measured := start("unary", calls)
	var next atomic.Int64
	var lanes sync.WaitGroup
	failures := make(chan error, connections*inFlight)
	for _, client := range clients {
		for range inFlight {
			lanes.Go(func() {
				for {
					index := int(next.Add(1)) - 1
					if index >= calls {
						return
					}
					started := time.Now()
					reply, err := client.SayHello(context.Background(), &helloworld.HelloRequest{Name: name})
					if err == nil && reply.Message != "Hello "+name {
						err = errors.New("wrong reply")
					}
					if err != nil {
						failures <- err
						return
					}
					measured.took(index, time.Since(started), len(reply.Message))
				}
			})
		}
	}
	lanes.Wait()
	select {
	case err := <-failures:
		return nil, err
	default:
		return measured, nil
	}
}

func down(addr string, count, size int) (*run, error) {
	client, err := connect(addr)
	if err != nil {
		return nil, err
	}
	measured := start("down", count)
	previous := time.Now()
	request := &helloworld.DownloadRequest{Count: uint32(count), Size: uint32(size)}
	stream, err := client.Download(context.Background(), request)
	if err != nil {
		return nil, err
	}
	for index := 0; ; index++ {
		chunk, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return measured, nil
		}
		if err != nil {
			return nil, err
		}
		now := time.Now()
		measured.took(index, now.Sub(previous), len(chunk.Payload))
		previous = now
	}
}

func bidi(addr string, count, size int) (*run, error) {
	client, err := connect(addr)
	if err != nil {
		return nil, err
	}
	stream, err := client.Echo(context.Background())
	if err != nil {
		return nil, err
	}
	chunk := &helloworld.Chunk{Payload: bytes.Repeat([]byte("x"), size)}
	sent := make([]atomic.Int64, count)
	measured := start("bidi", count)
	go func() {
		for index := range count {
			sent[index].Store(int64(time.Since(measured.started)))
			// An error here is what Recv tells, too.
			if stream.Send(chunk) != nil {
				return
			}
		}
		_ = stream.CloseSend()
	}()
	for index := 0; ; index++ {
		chunk, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return measured, nil
		}
		if err != nil {
			return nil, err
		}
		started := time.Duration(sent[index].Load())
		measured.took(index, time.Since(measured.started)-started, len(chunk.Payload))
	}
}
