// Command backend is one of the grpc-go servers over which Lariat's channel is checked: a Greeter that answers with the
// backend's name, with health checking and load reports, on one loopback address which it prints.
package main

import (
	"flag"
	"fmt"
	"log"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/orca"

	"lariat.test/interop/helloworld"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:0", "address to listen on")
	name := flag.String("name", "backend", "what to answer")
	flag.Parse()

	listener, err := net.Listen("tcp", *addr)
	if err != nil {
		log.Fatal(err)
	}
	load := orca.NewServerMetricsRecorder()
	load.SetQPS(100)
	backend := &greeter{name: *name, health: health.NewServer(), load: load, attempts: map[string][]attempt{}}
	backend.health.SetServingStatus(service, grpc_health_v1.HealthCheckResponse_SERVING)

	server := grpc.NewServer(orca.CallMetricsServerOption(load))
	helloworld.RegisterGreeterServer(server, backend)
	grpc_health_v1.RegisterHealthServer(server, backend.health)
	// grpc-go reports at the begin of each stream, and then every 30 seconds at most.
	if err := orca.Register(server, orca.ServiceOptions{ServerMetricsProvider: load}); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("listening on %s\n", listener.Addr())
	log.Fatal(server.Serve(listener))
}
