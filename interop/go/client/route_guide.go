package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"

	"google.golang.org/protobuf/proto"

	"lariat.test/interop/routeguide"
)

// routeGuideChecks assume nothing of the features that the server knows but that there is at least one.
var routeGuideChecks = []check{
	{"route_guide", "list_features", listFeatures},
	{"route_guide", "get_feature", getFeature},
	{"route_guide", "get_feature_nowhere", getFeatureNowhere},
	{"route_guide", "record_route", recordRoute},
	{"route_guide", "route_chat", routeChat},
}

var (
	world   = &routeguide.Rectangle{Lo: point(-900000000, -1800000000), Hi: point(900000000, 1800000000)}
	nowhere = point(1, 2)
)

func listFeatures(ctx context.Context, p *peer) error {
	features, err := featuresIn(ctx, p, world)
	if err != nil {
		return err
	}
	if len(features) == 0 {
		return errors.New("no features in the whole world")
	}
	none, err := featuresIn(ctx, p, &routeguide.Rectangle{Lo: nowhere, Hi: nowhere})
	return errors.Join(err, expect("number of features nowhere", len(none), 0))
}

func getFeature(ctx context.Context, p *peer) error {
	known, err := namedFeature(ctx, p)
	if err != nil {
		return err
	}
	feature, err := p.guide.GetFeature(ctx, known.Location)
	return errors.Join(err, expect("name of the feature", feature.GetName(), known.Name))
}

func getFeatureNowhere(ctx context.Context, p *peer) error {
	feature, err := p.guide.GetFeature(ctx, nowhere)
	return errors.Join(err,
		expect("name of nothing", feature.GetName(), ""),
		expect("whether the point came back", proto.Equal(feature.GetLocation(), nowhere), true))
}

func recordRoute(ctx context.Context, p *peer) error {
	known, err := namedFeature(ctx, p)
	if err != nil {
		return err
	}
	stream, err := p.guide.RecordRoute(ctx)
	if err != nil {
		return err
	}
	const points = 1000
	for i := range points {
		next := point(int32(i), int32(i))
		if i == points/2 {
			next = known.Location
		}
		if err := stream.Send(next); err != nil {
			return fmt.Errorf("point %d: %w", i, err)
		}
	}
	summary, err := stream.CloseAndRecv()
	if err != nil {
		return err
	}
	return errors.Join(
		expect("number of points", summary.PointCount, points),
		expect("number of features", summary.FeatureCount, 1),
		expect("whether the route has a length", summary.Distance > 0, true))
}

func routeChat(ctx context.Context, p *peer) error {
	stream, err := p.guide.RouteChat(ctx)
	if err != nil {
		return err
	}
	// A random place: some servers keep notes from one call to the next.
	here := point(rand.Int32N(900000000), rand.Int32N(1800000000))
	for _, message := range []string{"first", "second"} {
		if err := stream.Send(&routeguide.RouteNote{Location: here, Message: message}); err != nil {
			return err
		}
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	seen := map[string]bool{}
	for {
		note, err := stream.Recv()
		if err == io.EOF {
			return expect("whether the first note was repeated", seen["first"], true)
		}
		if err != nil {
			return err
		}
		if !proto.Equal(note.Location, here) {
			return fmt.Errorf("a note of another place, %v", note)
		}
		seen[note.Message] = true
	}
}

func point(latitude, longitude int32) *routeguide.Point {
	return &routeguide.Point{Latitude: latitude, Longitude: longitude}
}

func featuresIn(ctx context.Context, p *peer, area *routeguide.Rectangle) ([]*routeguide.Feature, error) {
	stream, err := p.guide.ListFeatures(ctx, area)
	if err != nil {
		return nil, err
	}
	var features []*routeguide.Feature
	for {
		feature, err := stream.Recv()
		if err == io.EOF {
			return features, nil
		}
		if err != nil {
			return nil, err
		}
		features = append(features, feature)
	}
}

// namedFeature is some feature that the server knows.
func namedFeature(ctx context.Context, p *peer) (*routeguide.Feature, error) {
	features, err := featuresIn(ctx, p, world)
	if err != nil {
		return nil, err
	}
	for _, feature := range features {
		if feature.Name != "" {
			return feature, nil
		}
	}
	return nil, fmt.Errorf("none of %d features has a name", len(features))
}
