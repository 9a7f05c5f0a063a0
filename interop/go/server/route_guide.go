package main

import (
	"context"
	"io"
	"math"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"lariat.test/interop/routeguide"
)

// features are the places that this server knows, in degrees times 10^7.
var features = []*routeguide.Feature{
	{Name: "Old Mill", Location: &routeguide.Point{Latitude: 407838351, Longitude: -746143763}},
	{Name: "Ferry Landing", Location: &routeguide.Point{Latitude: 413628156, Longitude: -749015468}},
	{Name: "Signal Hill", Location: &routeguide.Point{Latitude: 419999544, Longitude: -740371136}},
}

// routeGuide is the RouteGuide service; each RouteChat call keeps its own notes.
type routeGuide struct {
	routeguide.UnimplementedRouteGuideServer
}

func (*routeGuide) GetFeature(_ context.Context, point *routeguide.Point) (*routeguide.Feature, error) {
	if feature := featureAt(point); feature != nil {
		return feature, nil
	}
	return &routeguide.Feature{Location: point}, nil
}

func (*routeGuide) ListFeatures(area *routeguide.Rectangle, stream grpc.ServerStreamingServer[routeguide.Feature]) error {
	for _, feature := range features {
		if contains(area, feature.Location) {
			if err := stream.Send(feature); err != nil {
				return err
			}
		}
	}
	return nil
}

func (*routeGuide) RecordRoute(stream grpc.ClientStreamingServer[routeguide.Point, routeguide.RouteSummary]) error {
	started := time.Now()
	summary := &routeguide.RouteSummary{}
	var length float64
	var previous *routeguide.Point
	for {
		point, err := stream.Recv()
		if err == io.EOF {
			summary.Distance = int32(length)
			summary.ElapsedTime = int32(time.Since(started).Seconds())
			return stream.SendAndClose(summary)
		}
		if err != nil {
			return err
		}
		summary.PointCount++
		if featureAt(point) != nil {
			summary.FeatureCount++
		}
		if previous != nil {
			length += metres(previous, point)
		}
		previous = point
	}
}

func (*routeGuide) RouteChat(stream grpc.BidiStreamingServer[routeguide.RouteNote, routeguide.RouteNote]) error {
	type place struct{ latitude, longitude int32 }
	notes := map[place][]*routeguide.RouteNote{}
	for {
		note, err := stream.Recv()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		here := place{note.GetLocation().GetLatitude(), note.GetLocation().GetLongitude()}
		for _, earlier := range notes[here] {
			if err := stream.Send(earlier); err != nil {
				return err
			}
		}
		notes[here] = append(notes[here], note)
	}
}

func featureAt(point *routeguide.Point) *routeguide.Feature {
	for _, feature := range features {
		if proto.Equal(feature.Location, point) {
			return feature
		}
	}
	return nil
}

func contains(area *routeguide.Rectangle, point *routeguide.Point) bool {
	between := func(value, a, b int32) bool { return min(a, b) <= value && value <= max(a, b) }
	lo, hi := area.GetLo(), area.GetHi()
	return between(point.Latitude, lo.GetLatitude(), hi.GetLatitude()) &&
		between(point.Longitude, lo.GetLongitude(), hi.GetLongitude())
}

// metres is the great-circle distance between two points (haversine formula).
func metres(from, to *routeguide.Point) float64 {
	const earthRadius = 6_371_000
	radians := func(e7 int32) float64 { return float64(e7) / 1e7 * math.Pi / 180 }
	square := func(x float64) float64 { return x * x }
	halfLatitude := (radians(to.Latitude) - radians(from.Latitude)) / 2
	halfLongitude := (radians(to.Longitude) - radians(from.Longitude)) / 2
	a := square(math.Sin(halfLatitude)) +
		math.Cos(radians(from.Latitude))*math.Cos(radians(to.Latitude))*square(math.Sin(halfLongitude))
	return 2 * earthRadius * math.Atan2(math.Sqrt(a), math.Sqrt(1-a))
}
