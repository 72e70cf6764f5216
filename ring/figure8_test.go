package ring

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// The comparison of Dynamo's Figure 8 (SOSP 2007, section 6.2): S=30 nodes, N=3, three ways of placing, and how evenly load falls
// for the same amount of membership information. A request loads all N primaries of its key; load efficiency is the mean load
// of the nodes divided by the highest.
//
// The information is counted in entries that each node keeps: strategy 1 keeps S*T tokens; strategy 3 the table of Q partitions;
// strategy 2 both, a table of Q partitions and the S*T tokens that it is made from, of which Q must be the larger by far (here 4 times).
const (
	figure8Nodes = 30
	figure8N     = 3
	figure8Keys  = 100_000
	figure8Runs  = 8
)

func TestFigure8(t *testing.T) {
	weights := skewedPopularity(figure8Keys, 0.7)
	var table strings.Builder
	table.WriteString("\n| entries | strategy 1: random tokens | strategy 2: random tokens, equal partitions | strategy 3: Q/S tokens, equal partitions |\n|---:|---:|---:|---:|\n")
	for entries := 256; entries <= 4096; entries *= 2 {
		var mean [3]float64
		for run := range uint64(figure8Runs) {
			rng := rand.New(rand.NewPCG(uint64(entries), run))
			keys := make([]float64, figure8Keys)
			for i := range keys {
				keys[i] = rng.Float64()
			}
			for s, place := range []placement{placeByTokens(rng, entries), placeTokensOnPartitions(rng, entries), placeByPlan(t, rng, entries)} {
				mean[s] += efficiency(keys, weights, place) / figure8Runs
			}
		}
		fmt.Fprintf(&table, "| %d | %.2f | %.2f | %.2f |\n", entries, mean[0], mean[1], mean[2])
		if entries >= 1024 && (mean[2] <= mean[0] || mean[0] <= mean[1]) {
			t.Errorf("%d entries: efficiencies %.2f, strategy 3 is not best or 2 not worst", entries, mean)
		}
	}
	t.Log(table.String())
}

// skewedPopularity returns Zipf weights that sum to 1.
func skewedPopularity(n int, exponent float64) []float64 {
	weights, sum := make([]float64, n), 0.0
	for i := range weights {
		weights[i] = math.Pow(float64(i+1), -exponent)
		sum += weights[i]
	}
	for i := range weights {
		weights[i] /= sum
	}
	return weights
}

// A placement returns the nodes that hold the key at a point of [0,1).
type placement func(point float64) []int

func efficiency(keys, weights []float64, place placement) float64 {
	loads := make([]float64, figure8Nodes)
	for i, key := range keys {
		for _, node := range place(key) {
			loads[node] += weights[i]
		}
	}
	return figure8N / float64(figure8Nodes) / slices.Max(loads)
}

// A token is a node's point on the circle.
type token struct {
	at   float64
	node int
}

func randomTokens(rng *rand.Rand, count int) []token {
	tokens := make([]token, count)
	for i := range tokens {
		tokens[i] = token{rng.Float64(), i % figure8Nodes}
	}
	slices.SortFunc(tokens, func(a, b token) int { return int(math.Copysign(1, a.at-b.at)) })
	return tokens
}

// successors returns the first N distinct nodes clockwise of a point.
func successors(tokens []token, point float64) (nodes []int) {
	start, _ := slices.BinarySearchFunc(tokens, point, func(t token, p float64) int { return int(math.Copysign(1, t.at-p)) })
	for i := 0; len(nodes) < figure8N; i++ {
		if node := tokens[(start+i)%len(tokens)].node; !slices.Contains(nodes, node) {
			nodes = append(nodes, node)
		}
	}
	return nodes
}

func placeByTokens(rng *rand.Rand, entries int) placement {
	tokens := randomTokens(rng, entries)
	return func(point float64) []int { return successors(tokens, point) }
}

func placeTokensOnPartitions(rng *rand.Rand, entries int) placement {
	tokens := randomTokens(rng, entries/5)
	table := make([][]int, entries*4/5)
	for p := range table {
		table[p] = successors(tokens, float64(p+1)/float64(len(table)))
	}
	return func(point float64) []int { return table[int(point*float64(len(table)))] }
}

func placeByPlan(t *testing.T, rng *rand.Rand, entries int) placement {
	members := testMembers(rng, figure8Nodes, 0)
	index := map[NodeID]int{}
	for i, m := range members {
		index[m.ID] = i
	}
	table := make([][]int, entries)
	for p, owners := range mustPlan(t, nil, members, entries, figure8N).Owners {
		for _, id := range owners {
			table[p] = append(table[p], index[id])
		}
	}
	return func(point float64) []int { return table[int(point*float64(entries))] }
}
