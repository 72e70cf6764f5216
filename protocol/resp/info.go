package resp

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"
)

// section is one part of INFO.
type section struct {
	name  string
	write func(b *strings.Builder, c *conn, in Info)
}

func infoSections() []section {
	return []section{
		{"Server", infoServer},
		{"Clients", infoClients},
		{"Memory", infoMemory},
		{"Persistence", infoPersistence},
		{"Stats", infoStats},
		{"Replication", infoReplication},
		{"CPU", infoCPU},
		{"Cluster", infoCluster},
		{"Keyspace", infoKeyspace},
	}
}

// runInfo answers the sections that are named, or all.
func runInfo(c *conn, q *call) {
	in := c.srv.cfg.Info()
	var b strings.Builder
	for _, s := range infoSections() {
		if !infoWanted(q.args[1:], s.name) {
			continue
		}
		if b.Len() > 0 {
			b.WriteString("\r\n")
		}
		fmt.Fprintf(&b, "# %s\r\n", s.name)
		s.write(&b, c, in)
	}
	c.out.text(b.String())
}

func infoWanted(names [][]byte, section string) bool {
	for _, n := range names {
		if equalFold(n, strings.ToLower(section)) || equalFold(n, "all") || equalFold(n, "default") || equalFold(n, "everything") {
			return true
		}
	}
	return len(names) == 0
}

// field writes one line. Line breaks in a value would forge other lines.
func field(b *strings.Builder, name string, value any) {
	text := fmt.Sprint(value)
	fmt.Fprintf(b, "%s:%s\r\n", name, strings.NewReplacer("\r", " ", "\n", " ").Replace(text))
}

func infoServer(b *strings.Builder, c *conn, in Info) {
	up := int64(c.start.Sub(in.Started) / time.Second)
	field(b, "redis_version", RedisVersion)
	field(b, "redis_mode", "cluster")
	field(b, "holdfast_version", in.Version)
	field(b, "holdfast_name", in.Name)
	field(b, "os", runtime.GOOS+" "+runtime.GOARCH)
	field(b, "arch_bits", 64)
	field(b, "process_id", os.Getpid())
	field(b, "run_id", clusterID(in.NodeID))
	field(b, "tcp_port", in.Port)
	field(b, "server_time_usec", c.start.UnixMicro())
	field(b, "uptime_in_seconds", up)
	field(b, "uptime_in_days", up/86400)
}

func infoClients(b *strings.Builder, c *conn, _ Info) {
	field(b, "connected_clients", c.srv.Connections())
	field(b, "maxclients", c.srv.cfg.ConnectionsMax)
	field(b, "blocked_clients", 0)
}

func infoMemory(b *strings.Builder, _ *conn, in Info) {
	field(b, "used_memory", in.MemoryBytes)
	field(b, "used_memory_human", fmt.Sprintf("%.2fM", float64(in.MemoryBytes)/(1<<20)))
	field(b, "used_memory_rss", in.MemoryRSSBytes)
	field(b, "maxmemory", in.MemoryMaxBytes)
	field(b, "maxmemory_human", fmt.Sprintf("%.2fM", float64(in.MemoryMaxBytes)/(1<<20)))
	field(b, "maxmemory_policy", "noeviction")
}

func infoPersistence(b *strings.Builder, _ *conn, in Info) {
	field(b, "loading", 0)
	field(b, "rdb_bgsave_in_progress", 0)
	field(b, "rdb_last_bgsave_status", "ok")
	field(b, "aof_enabled", 1)
	field(b, "aof_last_write_status", "ok")
	field(b, "holdfast_sync", in.Sync)
	field(b, "holdfast_disk_bytes", in.DiskBytes)
}

func infoStats(b *strings.Builder, c *conn, _ Info) {
	field(b, "total_connections_received", c.srv.ids.Load())
	field(b, "total_commands_processed", c.srv.commands.Load())
	field(b, "rejected_connections", c.srv.refused.Load())
	field(b, "evicted_keys", 0)
}

// infoReplication calls every node a master: any node takes any write.
func infoReplication(b *strings.Builder, _ *conn, in Info) {
	field(b, "role", "master")
	field(b, "connected_slaves", in.Replicas)
	field(b, "master_repl_offset", 0)
}

func infoCPU(b *strings.Builder, _ *conn, in Info) {
	field(b, "used_cpu_sys", fmt.Sprintf("%.6f", in.CPUSystem.Seconds()))
	field(b, "used_cpu_user", fmt.Sprintf("%.6f", in.CPUUser.Seconds()))
}

func infoCluster(b *strings.Builder, _ *conn, _ Info) { field(b, "cluster_enabled", 1) }

// infoKeyspace tells what this node holds: counting the cluster's keys at each INFO would cost too much.
func infoKeyspace(b *strings.Builder, _ *conn, in Info) {
	for space, keys := range in.Keys {
		if keys == 0 {
			continue
		}
		expires := int64(0)
		if space < len(in.Expires) {
			expires = in.Expires[space]
		}
		fmt.Fprintf(b, "db%d:keys=%d,expires=%d,avg_ttl=0\r\n", space, keys, expires)
	}
}
