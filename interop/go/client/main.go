// Command client is the grpc-go client of the interop matrix: it runs the checks that interop/README.md lists
// against the server at -addr and prints a line for each.
//
//	client -addr HOST:PORT [GROUP|CHECK ...]
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"slices"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"lariat.test/interop/helloworld"
	"lariat.test/interop/routeguide"
)

// checkTime bounds each check, so that a peer that never answers cannot hold up the run.
const checkTime = 20 * time.Second

// peer is the server under test.
type peer struct {
	channel *grpc.ClientConn
	greeter helloworld.GreeterClient
	guide   routeguide.RouteGuideClient
}

// check is one behaviour; it returns an error that says what was wrong.
type check struct {
	group, name string
	run         func(context.Context, *peer) error
}

func main() {
	addr := flag.String("addr", "127.0.0.1:50051", "address of the server")
	flag.Parse()

	channel, err := grpc.NewClient("passthrough:///"+*addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		log.Fatal(err)
	}
	under := &peer{channel, helloworld.NewGreeterClient(channel), routeguide.NewRouteGuideClient(channel)}
	failed := false
	for _, check := range slices.Concat(greeterChecks, ruleChecks, routeGuideChecks) {
		if wanted := flag.Args(); len(wanted) > 0 && !slices.Contains(wanted, check.group) && !slices.Contains(wanted, check.name) {
			continue
		}
		ctx, cancel := context.WithTimeout(context.Background(), checkTime)
		if err := check.run(ctx, under); err != nil {
			failed = true
			fmt.Printf("FAILED %s: %v\n", check.name, err)
		} else {
			fmt.Printf("ok %s\n", check.name)
		}
		cancel()
	}
	if failed {
		os.Exit(1)
	}
}

// expectStatus is nil if err is a status of the code and, unless it is empty, of the message.
func expectStatus(err error, code codes.Code, message string) error {
	got := status.Convert(err)
	if got.Code() != code || message != "" && got.Message() != message {
		return fmt.Errorf("status %v %q instead of %v %q", got.Code(), got.Message(), code, message)
	}
	return nil
}

// expect is nil if the two are equal.
func expect[T comparable](what string, got, want T) error {
	if got != want {
		return fmt.Errorf("%s is %v instead of %v", what, got, want)
	}
	return nil
}
