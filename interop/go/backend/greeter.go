package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/orca"
	"google.golang.org/grpc/status"

	"lariat.test/interop/helloworld"
)

// service is what the backend serves, and whose health changes.
const service = "helloworld.Greeter"

// greeter answers with its name, except to the names that interop/README.md lists.
type greeter struct {
	helloworld.UnimplementedGreeterServer
	name   string
	health *health.Server
	load   orca.ServerMetricsRecorder

	mu       sync.Mutex
	attempts map[string][]attempt // by the key in x-fail
}

// attempt is a call that carried x-fail.
type attempt struct {
	previous string // its grpc-previous-rpc-attempts, "" if it had none
	at       time.Time
}

func (g *greeter) SayHello(ctx context.Context, request *helloworld.HelloRequest) (*helloworld.HelloReply, error) {
	if err := g.fail(ctx); err != nil {
		return nil, err
	}
	// Only calls whose handler records something carry a report, which then has the server's load, too.
	orca.CallMetricsRecorderFromContext(ctx).SetRequestCost("calls", 1)
	command, argument, _ := strings.Cut(request.Name, ":")
	switch command {
	case "status":
		number, known := grpc_health_v1.HealthCheckResponse_ServingStatus_value[argument]
		if !known {
			return nil, status.Errorf(codes.InvalidArgument, "%q is no serving status", argument)
		}
		g.health.SetServingStatus(service, grpc_health_v1.HealthCheckResponse_ServingStatus(number))
	case "load":
		utilization, err := strconv.ParseFloat(argument, 64)
		if err != nil {
			return nil, status.Error(codes.InvalidArgument, err.Error())
		}
		g.load.SetApplicationUtilization(utilization)
	case "attempts":
		return &helloworld.HelloReply{Message: g.seen(argument)}, nil
	}
	return &helloworld.HelloReply{Message: g.name}, nil
}

// fail counts the call, and fails it if it is one of the first N with its key: x-fail is KEY:N:PUSHBACK, where PUSHBACK
// is what the trailer grpc-retry-pushback-ms says, if anything.
func (g *greeter) fail(ctx context.Context) error {
	received, _ := metadata.FromIncomingContext(ctx)
	asked := received.Get("x-fail")
	if len(asked) == 0 {
		return nil
	}
	parts := strings.Split(asked[0], ":")
	if len(parts) != 3 {
		return status.Errorf(codes.InvalidArgument, "x-fail is %q, not KEY:N:PUSHBACK", asked[0])
	}
	failures, err := strconv.Atoi(parts[1])
	if err != nil {
		return status.Error(codes.InvalidArgument, err.Error())
	}
	this := attempt{previous: strings.Join(received.Get("grpc-previous-rpc-attempts"), "+"), at: time.Now()}
	g.mu.Lock()
	g.attempts[parts[0]] = append(g.attempts[parts[0]], this)
	count := len(g.attempts[parts[0]])
	g.mu.Unlock()
	if count > failures {
		return nil
	}
	if parts[2] != "" {
		if err := grpc.SetTrailer(ctx, metadata.Pairs("grpc-retry-pushback-ms", parts[2])); err != nil {
			return err
		}
	}
	return status.Errorf(codes.Unavailable, "failure %d of %d", count, failures)
}

// seen lists the attempts with a key: for each, what it said of previous ones, and after how many milliseconds from
// the first it came.
func (g *greeter) seen(key string) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	var list []string
	for _, each := range g.attempts[key] {
		since := each.at.Sub(g.attempts[key][0].at)
		list = append(list, fmt.Sprintf("%s@%d", each.previous, since.Milliseconds()))
	}
	return strings.Join(list, " ")
}
