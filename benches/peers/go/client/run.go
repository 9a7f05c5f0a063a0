package main

import (
	"fmt"
	"slices"
	"sync/atomic"
	"syscall"
	"time"
)

// run is what was measured since its start.
type run struct {
	kind       string
	started    time.Time
	cpuAtStart time.Duration
	times      []time.Duration
	counted    atomic.Int64
	octets     atomic.Int64
}

func start(kind string, expected int) *run {
	return &run{kind: kind, times: make([]time.Duration, expected), started: time.Now(), cpuAtStart: cpuTime()}
}

// took counts the call or chunk of that index.
func (r *run) took(index int, each time.Duration, octets int) {
	r.times[index] = each
	r.counted.Add(1)
	r.octets.Add(int64(octets))
}

func (r *run) report() {
	seconds := time.Since(r.started).Seconds()
	cpu := cpuTime() - r.cpuAtStart
	n := int(r.counted.Load())
	times := r.times[:n]
	slices.Sort(times)
	quantile := func(q float64) float64 {
		if n == 0 {
			return 0
		}
		return float64(times[int(float64(n-1)*q)].Nanoseconds()) / 1e3
	}
	fmt.Printf(`{"kind":"%s","n":%d,"octets":%d,"per_s":%.0f,"mb_s":%.1f,"client_cpu_us":%.3f,`+
		`"p50_us":%.1f,"p99_us":%.1f,"p999_us":%.1f}`+"\n",
		r.kind, n, r.octets.Load(), float64(n)/seconds, float64(r.octets.Load())/1e6/seconds,
		float64(cpu.Microseconds())/float64(max(n, 1)), quantile(0.5), quantile(0.99), quantile(0.999))
}

// cpuTime is the user and system time of this process.
func cpuTime() time.Duration {
	var usage syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &usage) != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
