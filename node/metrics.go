package node

import (
	"fmt"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/holdfastdb/holdfast/coordinator"
	"github.com/holdfastdb/holdfast/node/admission"
	"github.com/holdfastdb/holdfast/replica"
	"github.com/holdfastdb/holdfast/replica/peer"
	"github.com/holdfastdb/holdfast/replica/reap"
	"github.com/holdfastdb/holdfast/ring"
)

// meters is the metrics set of one node. Everything is there from the start, zero included: a metric that appears only
// after the first error cannot be alerted on.
type meters struct {
	n   *Node
	set *metrics.Set

	outcomes map[string]map[string]*metrics.Counter  // command, outcome
	seconds  map[string]*metrics.PrometheusHistogram // command
	ops      map[string]coordinatedOp                // read, write, modify
	siblings [siblingsShown + 1]*metrics.Counter     // by count; the last is "that many or more"
	stats    atomic.Pointer[snapshot]                // of the store, for one scrape
}

// coordinatedOp is where the times of one kind of coordinated batch go.
type coordinatedOp struct {
	seconds *metrics.PrometheusHistogram
	class   admission.Class
}

// siblingsShown is from where on sibling counts share one counter.
const siblingsShown = 8

type snapshot struct {
	at    time.Time
	store replica.Stats
	hints replica.HintStats
	pace  admission.Stats
}

// latencyBounds are the buckets of all latencies, in seconds: 50 us to 3 s, each 1.8 times the one before.
func latencyBounds() []float64 { return metrics.ExponentialBuckets(50e-6, 1.8, 20) }

func newMeters(n *Node) *meters {
	m := &meters{n: n, set: metrics.NewSet(), outcomes: map[string]map[string]*metrics.Counter{}, seconds: map[string]*metrics.PrometheusHistogram{}, ops: map[string]coordinatedOp{}}
	for class := range admission.Classes {
		seconds := m.set.NewPrometheusHistogramExt(fmt.Sprintf(`holdfast_coordinated_seconds{op=%q}`, class), latencyBounds())
		m.ops[class.String()] = coordinatedOp{seconds, class}
	}
	for i := 1; i <= siblingsShown; i++ {
		label := strconv.Itoa(i)
		if i == siblingsShown {
			label += "+"
		}
		m.siblings[i] = m.set.NewCounter(fmt.Sprintf(`holdfast_siblings_seen_total{count=%q}`, label))
	}
	m.coordinatorMetrics()
	m.hintMetrics()
	m.storeMetrics()
	m.wireMetrics()
	m.pullMetrics()
	m.paceMetrics()
	m.reapMetrics()
	return m
}

// commands makes the counters of every command.
func (m *meters) commands(names, outcomes []string) {
	for _, name := range names {
		m.outcomes[name] = map[string]*metrics.Counter{}
		for _, o := range outcomes {
			m.outcomes[name][o] = m.set.NewCounter(fmt.Sprintf(`holdfast_commands_total{command=%q,outcome=%q}`, name, o))
		}
		m.seconds[name] = m.set.NewPrometheusHistogramExt(fmt.Sprintf(`holdfast_command_seconds{command=%q}`, name), latencyBounds())
	}
}

// Observe implements resp.Metrics.
func (m *meters) Observe(command, outcome string, seconds float64) {
	if c := m.outcomes[command][outcome]; c != nil {
		c.Inc()
		m.seconds[command].Update(seconds)
	}
}

// Siblings implements resp.Metrics.
func (m *meters) Siblings(n int) {
	if n > 0 {
		m.siblings[min(n, siblingsShown)].Inc()
	}
}

func (m *meters) coordinated(op string, seconds float64) {
	o := m.ops[op]
	o.seconds.Update(seconds)
	m.n.pace.Observe(o.class, time.Duration(seconds*float64(time.Second)))
}

func (m *meters) gauge(name string, f func() float64) { m.set.NewGauge(name, f) }

// count is a gauge callback over a counter kept elsewhere; the name's _total says what it is.
func (m *meters) count(name string, f func() int64) {
	m.gauge(name, func() float64 { return float64(f()) })
}

func (m *meters) coordinatorMetrics() {
	c := func(pick func() *atomic.Int64) func() int64 {
		return func() int64 { return pick().Load() }
	}
	counters := func() *coordCounters { return &m.n.coord.Counters }
	m.count("holdfast_forwards_total", c(func() *atomic.Int64 { return &counters().Forwards }))
	m.count("holdfast_forward_retries_total", c(func() *atomic.Int64 { return &counters().Retries }))
	m.count("holdfast_fallbacks_total", c(func() *atomic.Int64 { return &counters().Fallbacks }))
	m.count("holdfast_hedged_reads_total", c(func() *atomic.Int64 { return &counters().Hedges }))
	m.count("holdfast_read_repairs_total", c(func() *atomic.Int64 { return &counters().ReadRepairs }))
	m.count("holdfast_folds_total", c(func() *atomic.Int64 { return &counters().Folds }))
	m.count(`holdfast_shed_total{reason="overloaded"}`, c(func() *atomic.Int64 { return &counters().Overloaded }))
	m.count(`holdfast_shed_total{reason="repair"}`, c(func() *atomic.Int64 { return &counters().DuesDropped }))
	m.gauge("holdfast_connections", func() float64 { return float64(m.n.resp.Connections()) })
}

func (m *meters) hintMetrics() {
	h := func() replica.HintStats { return m.snap().hints }
	s := func() replica.Stats { return m.snap().store }
	m.gauge("holdfast_hints_pending", func() float64 { return float64(h().Pending()) })
	m.gauge("holdfast_hints_unreadable", func() float64 { return float64(h().Unreadable) })
	m.gauge("holdfast_hints_bytes", func() float64 { return float64(h().Bytes) })
	m.gauge("holdfast_hints_oldest_seconds", func() float64 { return h().Oldest.Seconds() })
	m.gauge(`holdfast_hints_total{state="stored"}`, func() float64 { return float64(s().HintsStored) })
	m.gauge(`holdfast_hints_total{state="delivered"}`, func() float64 { return float64(s().HintsDelivered) })
	m.gauge(`holdfast_hints_total{state="cancelled"}`, func() float64 { return float64(s().HintsCancelled) })
	m.gauge(`holdfast_hints_total{state="dropped"}`, func() float64 { return float64(s().HintsDropped) })
	m.gauge(`holdfast_shed_total{reason="hints_full"}`, func() float64 { return float64(s().HintsRefused) })
	m.gauge(`holdfast_shed_total{reason="disk_low"}`, func() float64 { return float64(s().DiskRefused) })
	m.gauge(`holdfast_shed_total{reason="siblings"}`, func() float64 { return float64(s().SiblingsRefused) })
}

func (m *meters) storeMetrics() {
	for name, pick := range map[string]func(replica.Stats) float64{
		"holdfast_keys":                              func(s replica.Stats) float64 { return float64(s.Total.Keys) },
		"holdfast_store_bytes":                       func(s replica.Stats) float64 { return float64(s.Total.Bytes) },
		"holdfast_store_siblings":                    func(s replica.Stats) float64 { return float64(s.Total.Siblings) },
		"holdfast_boots_renewed_total":               func(s replica.Stats) float64 { return float64(s.BootsRenewed) },
		"holdfast_expired_total":                     func(s replica.Stats) float64 { return float64(s.Expired) },
		"holdfast_disk_bytes":                        func(s replica.Stats) float64 { return float64(s.DiskBytes) },
		"holdfast_disk_free_bytes":                   func(s replica.Stats) float64 { return float64(s.FreeBytes) },
		"holdfast_disk_reserve_bytes":                func(s replica.Stats) float64 { return float64(s.ReserveBytes) },
		"holdfast_disk_low":                          func(s replica.Stats) float64 { return truth(s.DiskLow) },
		"holdfast_pebble_log_bytes":                  func(s replica.Stats) float64 { return float64(s.LogBytes) },
		"holdfast_pebble_memtable_bytes":             func(s replica.Stats) float64 { return float64(s.MemtableBytes) },
		"holdfast_row_cache_bytes":                   func(s replica.Stats) float64 { return float64(s.RowCacheBytes) },
		`holdfast_row_cache_total{result="hit"}`:     func(s replica.Stats) float64 { return float64(s.RowCacheHits) },
		`holdfast_row_cache_total{result="miss"}`:    func(s replica.Stats) float64 { return float64(s.RowCacheMisses) },
		"holdfast_pebble_cache_bytes":                func(s replica.Stats) float64 { return float64(s.CacheBytes) },
		`holdfast_pebble_cache_total{result="hit"}`:  func(s replica.Stats) float64 { return float64(s.CacheHits) },
		`holdfast_pebble_cache_total{result="miss"}`: func(s replica.Stats) float64 { return float64(s.CacheMisses) },
		"holdfast_pebble_compaction_debt_bytes":      func(s replica.Stats) float64 { return float64(s.CompactionDebtBytes) },
		"holdfast_pebble_level0_sublevels":           func(s replica.Stats) float64 { return float64(s.Level0Sublevels) },
		"holdfast_pebble_write_stalls_total":         func(s replica.Stats) float64 { return float64(s.WriteStalls) },
		"holdfast_pebble_disk_slow_total":            func(s replica.Stats) float64 { return float64(s.DisksSlow) },
		"holdfast_pebble_background_errors_total":    func(s replica.Stats) float64 { return float64(s.BackgroundErrors) },
		"holdfast_pebble_corruptions_total":          func(s replica.Stats) float64 { return float64(s.Corruptions) },
		"holdfast_handoff_failures_total":            func(s replica.Stats) float64 { return float64(s.DeliveriesFailed) },
	} {
		m.gauge(name, func() float64 { return pick(m.snap().store) })
	}
}

func (m *meters) wireMetrics() {
	stats := func(pick func(peerStats) uint64) func() float64 {
		return func() float64 {
			p := m.n.wire.peers.Load()
			if p == nil {
				return 0
			}
			return float64(pick(p.Stats()))
		}
	}
	m.gauge("holdfast_peer_socket_writes_total", stats(func(s peerStats) uint64 { return s.SocketWrites }))
	m.gauge("holdfast_peer_refused_total", stats(func(s peerStats) uint64 { return s.Refused }))
	m.gauge("holdfast_peer_crowded_total", stats(func(s peerStats) uint64 { return s.Crowded }))
	m.gauge("holdfast_peer_damaged_total", stats(func(s peerStats) uint64 { return s.Damaged }))
	m.gauge("holdfast_peer_connections", stats(func(s peerStats) uint64 { return uint64(s.Conns) }))
	m.gauge("holdfast_pauses_total", stats(func(s peerStats) uint64 { return s.Pauses }))
	m.gauge(`holdfast_shed_total{reason="peer_overloaded"}`, stats(func(s peerStats) uint64 { return s.Overloaded }))
	m.gauge(`holdfast_shed_total{reason="expired"}`, stats(func(s peerStats) uint64 { return s.Expired }))
	m.gauge("holdfast_members_alive", func() float64 {
		alive := 0
		for _, member := range m.n.members.State().Members {
			if member.Status != ring.Removed && m.n.up(member.ID) {
				alive++
			}
		}
		return float64(alive)
	})
	m.gauge("holdfast_gossip_health_score", func() float64 { return float64(m.n.gossip.HealthScore()) })
	m.gauge("holdfast_clock_correction_seconds", func() float64 { return m.n.wall.correction().Seconds() })
}

func (m *meters) paceMetrics() {
	stats := func() admission.Stats { return m.snap().pace }
	m.gauge("holdfast_background_rate_bytes", func() float64 { return float64(stats().Rate) })
	m.gauge("holdfast_background_bytes_total", func() float64 { return float64(stats().Admitted) })
	m.gauge("holdfast_background_wait_seconds_total", func() float64 { return stats().Waited.Seconds() })
	for class := range admission.Classes {
		m.gauge(fmt.Sprintf(`holdfast_foreground_p99_seconds{op=%q}`, class), func() float64 { return stats().P99[class].Seconds() })
		m.gauge(fmt.Sprintf(`holdfast_foreground_p99_limit_seconds{op=%q}`, class), func() float64 { return stats().Limit[class].Seconds() })
	}
}

// pullMetrics speaks of what this node took from others: anti-entropy and repair, and transfers.
func (m *meters) pullMetrics() {
	m.count("holdfast_antientropy_bytes_total", m.n.pulls.antiEntropyBytes.Load)
	m.count("holdfast_transfer_bytes_total", m.n.pulls.transferBytes.Load)
	m.count("holdfast_transfers_pending", m.n.pulls.transfers.Load)
	m.count("holdfast_pulled_rows_total", m.n.pulls.rows.Load)
	m.gauge("holdfast_dot_conflicts_total", func() float64 { return float64(m.snap().store.DotConflicts) })
	m.gauge("holdfast_trees_complete", func() float64 { return truth(m.snap().store.Counted) })
}

// reapMetrics speaks of tombstones and what becomes of them.
func (m *meters) reapMetrics() {
	m.gauge("holdfast_tombstones", func() float64 {
		total := m.snap().store.Total
		return float64(max(total.Rows-total.Keys, 0))
	})
	m.count("holdfast_tombstones_reaped_total", m.n.reaper.reaped.Load)
	m.gauge("holdfast_reap_waits", func() float64 { return truth(m.n.reaper.waits.Load()) })
	for why := reap.None + 1; why < reap.Refusals; why++ {
		m.count(fmt.Sprintf("holdfast_reap_refused_total{reason=%q}", why), m.n.reaper.refused[why].Load)
	}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// snap returns the numbers of the store and of background work, taken once a scrape: they cost some 100 us each time.
func (m *meters) snap() *snapshot {
	if s := m.stats.Load(); s != nil && time.Since(s.at) < readyWait {
		return s
	}
	s := &snapshot{at: time.Now(), store: m.n.held.Stats(), hints: m.n.held.HintStats(), pace: m.n.pace.Stats()}
	m.stats.Store(s)
	return s
}

func (m *meters) serve(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4")
	m.set.WritePrometheus(w)
	metrics.WriteProcessMetrics(w)
}

type (
	coordCounters = coordinator.Counters
	peerStats     = peer.Stats
)
