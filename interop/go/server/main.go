// Command server is the grpc-go server of the interop matrix: Greeter and RouteGuide with the rules that
// interop/README.md lists, on one loopback address which it prints.
package main

import (
	"flag"
	"fmt"
	"log"
	"net"

	"google.golang.org/grpc"

	"lariat.test/interop/helloworld"
	"lariat.test/interop/routeguide"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:0", "address to listen on")
	flag.Parse()

	listener, err := net.Listen("tcp", *addr)
	if err != nil {
		log.Fatal(err)
	}
	server := grpc.NewServer()
	helloworld.RegisterGreeterServer(server, &greeter{})
	routeguide.RegisterRouteGuideServer(server, &routeGuide{})
	fmt.Printf("listening on %s\n", listener.Addr())
	log.Fatal(server.Serve(listener))
}
