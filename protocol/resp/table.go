package resp

// commands returns the table of all commands, by group. What it says of a command is what Redis 7.0.15 says: clients
// choose by it how to send one. Those of later versions, and our own, say since when.
func commands() []command {
	var all []command
	for _, group := range [][]command{
		connectionCommands(), stringCommands(), genericCommands(), serverCommands(), clusterCommands(), versionCommands(),
	} {
		all = append(all, group...)
	}
	return all
}

// connectionCommands returns the commands of the connection itself.
func connectionCommands() []command {
	return []command{
		{
			name: "ping", arity: -1, flags: "fast", acl: "@fast @connection",
			tips:  "request_policy:all_shards response_policy:all_succeeded",
			since: "1.0.0", group: "connection", complexity: "O(1)",
			summary: "Ping the server",
			run:     runPing,
		},
		{
			name: "echo", arity: 2, flags: "loading stale fast", acl: "@fast @connection",
			since: "1.0.0", group: "connection", complexity: "O(1)",
			summary: "Echo the given string",
			run:     runEcho,
		},
		{
			name: "quit", arity: -1, flags: "noscript loading stale fast no_auth allow_busy", acl: "@fast @connection",
			since: "1.0.0", group: "connection", complexity: "O(1)",
			summary: "Close the connection",
			run:     runQuit,
		},
		{
			name: "hello", arity: -1, flags: "noscript loading stale fast no_auth allow_busy", acl: "@fast @connection",
			since: "6.0.0", group: "connection", complexity: "O(1)",
			summary: "Handshake with Redis",
			run:     runHello,
		},
		{
			name: "auth", arity: -2, flags: "noscript loading stale fast no_auth allow_busy", acl: "@fast @connection",
			since: "1.0.0", group: "connection", complexity: "O(1)",
			summary: "Authenticate to the server",
			run:     runAuth,
		},
		{
			name: "select", arity: 2, flags: "loading stale fast", acl: "@fast @connection",
			since: "1.0.0", group: "connection", complexity: "O(1)",
			summary: "Change the selected database for the current connection",
			run:     runSelect,
		},
		{
			name: "reset", arity: 1, flags: "noscript loading stale fast no_auth allow_busy", acl: "@fast @connection",
			since: "6.2.0", group: "connection", complexity: "O(1)",
			summary: "Reset the connection",
			run:     runReset,
		},
		{
			name: "client", arity: -2, flags: "", acl: "@slow",
			since: "2.4.0", group: "connection", complexity: "Depends on subcommand.",
			summary: "A container for client connection commands",
			subs: []command{
				{
					name: "client|id", arity: 2, flags: "noscript loading stale", acl: "@slow @connection",
					since: "5.0.0", group: "connection", complexity: "O(1)",
					summary: "Returns the client ID for the current connection",
					run:     runClientID,
				},
				{
					name: "client|info", arity: 2, flags: "noscript loading stale", acl: "@slow @connection",
					tips:  "nondeterministic_output",
					since: "6.2.0", group: "connection", complexity: "O(1)",
					summary: "Returns information about the current client connection",
					run:     runClientInfo,
				},
				{
					name: "client|list", arity: -2, flags: "admin noscript loading stale", acl: "@admin @slow @dangerous @connection",
					tips:  "nondeterministic_output",
					since: "2.4.0", group: "connection", complexity: "O(N) where N is the number of client connections",
					summary: "Get the list of client connections",
					args:    "[TYPE <type> | ID <id> ...]",
					run:     runClientList,
				},
				{
					name: "client|setname", arity: 3, flags: "noscript loading stale", acl: "@slow @connection",
					since: "2.6.9", group: "connection", complexity: "O(1)",
					summary: "Set the current connection name",
					args:    "<name>",
					run:     runClientSetName,
				},
				{
					name: "client|getname", arity: 2, flags: "noscript loading stale", acl: "@slow @connection",
					since: "2.6.9", group: "connection", complexity: "O(1)",
					summary: "Get the current connection name",
					run:     runClientGetName,
				},
				{
					name: "client|setinfo", arity: 4, flags: "noscript loading stale", acl: "@slow @connection",
					since: "7.2.0", group: "connection", complexity: "O(1)",
					summary: "Set information specific to the client or connection",
					args:    "(LIB-NAME|LIB-VER) <value>",
					run:     runClientSetInfo,
				},
				{
					name: "client|no-evict", arity: 3, flags: "admin noscript loading stale", acl: "@admin @slow @dangerous @connection",
					since: "7.0.0", group: "connection", complexity: "O(1)",
					summary: "Set client eviction mode for the current connection",
					args:    "(ON|OFF)",
					run:     runOnOff,
				},
				{
					name: "client|no-touch", arity: 3, flags: "noscript loading stale", acl: "@slow @connection",
					since: "7.2.0", group: "connection", complexity: "O(1)",
					summary: "Controls whether commands sent by the client affect the LRU/LFU of accessed keys",
					args:    "(ON|OFF)",
					run:     runOnOff,
				},
				{
					name: "client|tracking", arity: -3, flags: "noscript loading stale", acl: "@slow @connection",
					since: "6.0.0", group: "connection", complexity: "O(1). Some options may introduce additional complexity.",
					summary: "Enable or disable server assisted client side caching support",
					args:    "OFF",
					run:     runClientTracking,
				},
				{
					name: "client|help", arity: 2, flags: "loading stale", acl: "@slow @connection",
					since: "5.0.0", group: "connection", complexity: "O(1)",
					summary: "Show helpful text about the different subcommands",
					run:     runHelp("client"),
				},
			},
		},
	}
}

// stringCommands returns the commands on values.
func stringCommands() []command {
	return []command{
		{
			name: "get", arity: 2, flags: "readonly fast", acl: "@read @string @fast",
			keys:  keys{1, 1, 1, "RO access"},
			since: "1.0.0", group: "string", complexity: "O(1)",
			summary: "Get the value of a key",
			plan:    planRead(answerGet),
		},
		{
			name: "set", arity: -3, flags: "write denyoom", acl: "@write @string @slow",
			keys: keys{1, 1, 1, "RW access update variable_flags"}, note: "RW and ACCESS due to the optional `GET` argument",
			since: "1.0.0", group: "string", complexity: "O(1)",
			summary: "Set the string value of a key",
			plan:    planSet,
		},
		{
			name: "setnx", arity: 3, flags: "write denyoom fast", acl: "@write @string @fast",
			keys:  keys{1, 1, 1, "OW insert"},
			since: "1.0.0", group: "string", complexity: "O(1)",
			summary: "Set the value of a key, only if the key does not exist",
			plan:    planSetNX,
		},
		{
			name: "setex", arity: 4, flags: "write denyoom", acl: "@write @string @slow",
			keys:  keys{1, 1, 1, "OW update"},
			since: "2.0.0", group: "string", complexity: "O(1)",
			summary: "Set the value and expiration of a key",
			plan:    planSetEX(unitEX),
		},
		{
			name: "psetex", arity: 4, flags: "write denyoom", acl: "@write @string @slow",
			keys:  keys{1, 1, 1, "OW update"},
			since: "2.6.0", group: "string", complexity: "O(1)",
			summary: "Set the value and expiration in milliseconds of a key",
			plan:    planSetEX(unitPX),
		},
		{
			name: "getset", arity: 3, flags: "write denyoom fast", acl: "@write @string @fast",
			keys:  keys{1, 1, 1, "RW access update"},
			since: "1.0.0", group: "string", complexity: "O(1)",
			summary: "Set the string value of a key and return its old value",
			plan:    planGetSet,
		},
		{
			name: "getdel", arity: 2, flags: "write fast", acl: "@write @string @fast",
			keys:  keys{1, 1, 1, "RW access delete"},
			since: "6.2.0", group: "string", complexity: "O(1)",
			summary: "Get the value of a key and delete the key",
			plan:    planGetDel,
		},
		{
			name: "getex", arity: -2, flags: "write fast", acl: "@write @string @fast",
			keys: keys{1, 1, 1, "RW access update"}, note: "RW and UPDATE because it changes the TTL",
			since: "6.2.0", group: "string", complexity: "O(1)",
			summary: "Get the value of a key and optionally set its expiration",
			plan:    planGetEX,
		},
		{
			name: "mget", arity: -2, flags: "readonly fast", acl: "@read @string @fast",
			keys:  keys{1, -1, 1, "RO access"},
			tips:  "request_policy:multi_shard",
			since: "1.0.0", group: "string", complexity: "O(N) where N is the number of keys to retrieve.",
			summary: "Get the values of all the given keys",
			plan:    planMGet,
		},
		{
			name: "mset", arity: -3, flags: "write denyoom", acl: "@write @string @slow",
			keys:  keys{1, -1, 2, "OW update"},
			tips:  "request_policy:multi_shard response_policy:all_succeeded",
			since: "1.0.1", group: "string", complexity: "O(N) where N is the number of keys to set.",
			summary: "Set multiple keys to multiple values",
			plan:    planMSet,
		},
		{
			name: "append", arity: 3, flags: "write denyoom fast", acl: "@write @string @fast",
			keys:  keys{1, 1, 1, "RW insert"},
			since: "2.0.0", group: "string", complexity: "O(N) where N is the length of the new value",
			summary: "Append a value to a key",
			plan:    planAppend,
		},
		{
			name: "strlen", arity: 2, flags: "readonly fast", acl: "@read @string @fast",
			keys:  keys{1, 1, 1, "RO"},
			since: "2.2.0", group: "string", complexity: "O(1)",
			summary: "Get the length of the value stored in a key",
			plan:    planRead(answerStrlen),
		},
		{
			name: "incr", arity: 2, flags: "write denyoom fast", acl: "@write @string @fast",
			keys:  keys{1, 1, 1, "RW access update"},
			since: "1.0.0", group: "string", complexity: "O(1)",
			summary: "Increment the integer value of a key by one",
			plan:    planAdd(1),
		},
		{
			name: "decr", arity: 2, flags: "write denyoom fast", acl: "@write @string @fast",
			keys:  keys{1, 1, 1, "RW access update"},
			since: "1.0.0", group: "string", complexity: "O(1)",
			summary: "Decrement the integer value of a key by one",
			plan:    planAdd(-1),
		},
		{
			name: "incrby", arity: 3, flags: "write denyoom fast", acl: "@write @string @fast",
			keys:  keys{1, 1, 1, "RW access update"},
			since: "1.0.0", group: "string", complexity: "O(1)",
			summary: "Increment the integer value of a key by the given amount",
			plan:    planAddBy(1),
		},
		{
			name: "decrby", arity: 3, flags: "write denyoom fast", acl: "@write @string @fast",
			keys:  keys{1, 1, 1, "RW access update"},
			since: "1.0.0", group: "string", complexity: "O(1)",
			summary: "Decrement the integer value of a key by the given number",
			plan:    planAddBy(-1),
		},
	}
}

// genericCommands returns the commands on keys whatever they hold.
func genericCommands() []command {
	return []command{
		{
			name: "del", arity: -2, flags: "write", acl: "@keyspace @write @slow",
			keys:  keys{1, -1, 1, "RM delete"},
			tips:  "request_policy:multi_shard response_policy:agg_sum",
			since: "1.0.0", group: "generic", complexity: "O(N) where N is the number of keys",
			summary: "Delete a key",
			plan:    planDelete,
		},
		{
			name: "unlink", arity: -2, flags: "write fast", acl: "@keyspace @write @fast",
			keys:  keys{1, -1, 1, "RM delete"},
			tips:  "request_policy:multi_shard response_policy:agg_sum",
			since: "4.0.0", group: "generic", complexity: "O(N) where N is the number of keys",
			summary: "Delete a key. The same as DEL: no deletion waits for memory to be freed",
			plan:    planDelete,
		},
		{
			name: "exists", arity: -2, flags: "readonly fast", acl: "@keyspace @read @fast",
			keys:  keys{1, -1, 1, "RO"},
			tips:  "request_policy:multi_shard response_policy:agg_sum",
			since: "1.0.0", group: "generic", complexity: "O(N) where N is the number of keys to check.",
			summary: "Determine if a key exists",
			plan:    planExists,
		},
		{
			name: "type", arity: 2, flags: "readonly fast", acl: "@keyspace @read @fast",
			keys:  keys{1, 1, 1, "RO"},
			since: "1.0.0", group: "generic", complexity: "O(1)",
			summary: "Determine the type stored at key",
			plan:    planRead(answerType),
		},
		{
			name: "expire", arity: -3, flags: "write fast", acl: "@keyspace @write @fast",
			keys:  keys{1, 1, 1, "RW update"},
			since: "1.0.0", group: "generic", complexity: "O(1)",
			summary: "Set a key's time to live in seconds",
			plan:    planExpire(unitEX),
		},
		{
			name: "pexpire", arity: -3, flags: "write fast", acl: "@keyspace @write @fast",
			keys:  keys{1, 1, 1, "RW update"},
			since: "2.6.0", group: "generic", complexity: "O(1)",
			summary: "Set a key's time to live in milliseconds",
			plan:    planExpire(unitPX),
		},
		{
			name: "expireat", arity: -3, flags: "write fast", acl: "@keyspace @write @fast",
			keys:  keys{1, 1, 1, "RW update"},
			since: "1.2.0", group: "generic", complexity: "O(1)",
			summary: "Set the expiration for a key as a UNIX timestamp",
			plan:    planExpire(unitEXAT),
		},
		{
			name: "pexpireat", arity: -3, flags: "write fast", acl: "@keyspace @write @fast",
			keys:  keys{1, 1, 1, "RW update"},
			since: "2.6.0", group: "generic", complexity: "O(1)",
			summary: "Set the expiration for a key as a UNIX timestamp specified in milliseconds",
			plan:    planExpire(unitPXAT),
		},
		{
			name: "ttl", arity: 2, flags: "readonly fast", acl: "@keyspace @read @fast",
			keys:  keys{1, 1, 1, "RO access"},
			tips:  "nondeterministic_output",
			since: "1.0.0", group: "generic", complexity: "O(1)",
			summary: "Get the time to live for a key in seconds",
			plan:    planRead(answerExpiry(ttl)),
		},
		{
			name: "pttl", arity: 2, flags: "readonly fast", acl: "@keyspace @read @fast",
			keys:  keys{1, 1, 1, "RO access"},
			tips:  "nondeterministic_output",
			since: "2.6.0", group: "generic", complexity: "O(1)",
			summary: "Get the time to live for a key in milliseconds",
			plan:    planRead(answerExpiry(pttl)),
		},
		{
			name: "expiretime", arity: 2, flags: "readonly fast", acl: "@keyspace @read @fast",
			keys:  keys{1, 1, 1, "RO access"},
			since: "7.0.0", group: "generic", complexity: "O(1)",
			summary: "Get the expiration Unix timestamp for a key",
			plan:    planRead(answerExpiry(expireTime)),
		},
		{
			name: "pexpiretime", arity: 2, flags: "readonly fast", acl: "@keyspace @read @fast",
			keys:  keys{1, 1, 1, "RO access"},
			since: "7.0.0", group: "generic", complexity: "O(1)",
			summary: "Get the expiration Unix timestamp for a key in milliseconds",
			plan:    planRead(answerExpiry(pexpireTime)),
		},
		{
			name: "persist", arity: 2, flags: "write fast", acl: "@keyspace @write @fast",
			keys:  keys{1, 1, 1, "RW update"},
			since: "2.2.0", group: "generic", complexity: "O(1)",
			summary: "Remove the expiration from a key",
			plan:    planPersist,
		},
		{
			name: "wait", arity: 3, flags: "noscript", acl: "@slow @connection",
			tips:  "request_policy:all_shards response_policy:agg_min",
			since: "3.0.0", group: "generic", complexity: "O(1)",
			summary: "Wait for the synchronous replication of all the write commands sent in the context of the current connection",
			run:     runWait,
		},
	}
}

// serverCommands returns the commands on the node.
func serverCommands() []command {
	return []command{
		{
			name: "command", arity: -1, flags: "loading stale", acl: "@slow @connection",
			tips:  "nondeterministic_output_order",
			since: "2.8.13", group: "server", complexity: "O(N) where N is the total number of Redis commands",
			summary: "Get array of Redis command details",
			run:     runCommand,
			subs: []command{
				{
					name: "command|count", arity: 2, flags: "loading stale", acl: "@slow @connection",
					since: "2.8.13", group: "server", complexity: "O(1)",
					summary: "Get total number of Redis commands",
					run:     runCommandCount,
				},
				{
					name: "command|info", arity: -2, flags: "loading stale", acl: "@slow @connection",
					tips:  "nondeterministic_output_order",
					since: "2.8.13", group: "server", complexity: "O(N) where N is the number of commands to look up",
					summary: "Get array of specific Redis command details, or all when no argument is given",
					args:    "[<command-name> ...]",
					run:     runCommandInfo,
				},
				{
					name: "command|docs", arity: -2, flags: "loading stale", acl: "@slow @connection",
					tips:  "nondeterministic_output_order",
					since: "7.0.0", group: "server", complexity: "O(N) where N is the number of commands to look up",
					summary: "Get array of specific Redis command documentation",
					args:    "[<command-name> ...]",
					run:     runCommandDocs,
				},
				{
					name: "command|list", arity: -2, flags: "loading stale", acl: "@slow @connection",
					tips:  "nondeterministic_output_order",
					since: "7.0.0", group: "server", complexity: "O(N) where N is the total number of Redis commands",
					summary: "Get an array of Redis command names",
					args:    "[FILTERBY (MODULE|ACLCAT|PATTERN) <value>]",
					run:     runCommandList,
				},
				{
					name: "command|getkeys", arity: -4, flags: "loading stale", acl: "@slow @connection",
					since: "2.8.13", group: "server", complexity: "O(N) where N is the number of arguments to the command",
					summary: "Extract keys given a full Redis command",
					args:    "<full-command>",
					run:     runCommandGetKeys,
				},
				{
					name: "command|help", arity: 2, flags: "loading stale", acl: "@slow @connection",
					since: "5.0.0", group: "server", complexity: "O(1)",
					summary: "Show helpful text about the different subcommands",
					run:     runHelp("command"),
				},
			},
		},
		{
			name: "info", arity: -1, flags: "loading stale", acl: "@slow @dangerous",
			tips:  "nondeterministic_output request_policy:all_shards response_policy:special",
			since: "1.0.0", group: "server", complexity: "O(1)",
			summary: "Get information and statistics about the server",
			run:     runInfo,
		},
		{
			name: "config", arity: -2, flags: "", acl: "@slow",
			since: "2.0.0", group: "server", complexity: "Depends on subcommand.",
			summary: "A container for server configuration commands",
			subs: []command{
				{
					name: "config|get", arity: -3, flags: "admin noscript loading stale", acl: "@admin @slow @dangerous",
					since: "2.0.0", group: "server", complexity: "O(N) when N is the number of configuration parameters provided",
					summary: "Get the values of configuration parameters",
					args:    "<pattern> [<pattern> ...]",
					run:     runConfigGet,
				},
				{
					name: "config|set", arity: -4, flags: "admin noscript loading stale", acl: "@admin @slow @dangerous",
					tips:  "request_policy:all_nodes response_policy:all_succeeded",
					since: "2.0.0", group: "server", complexity: "O(N) when N is the number of configuration parameters provided",
					summary: "Set configuration parameters to the given values",
					args:    "<directive> <value>",
					run:     runConfigSet,
				},
				{
					name: "config|help", arity: 2, flags: "loading stale", acl: "@slow",
					since: "5.0.0", group: "server", complexity: "O(1)",
					summary: "Show helpful text about the different subcommands",
					run:     runHelp("config"),
				},
			},
		},
		{
			name: "dbsize", arity: 1, flags: "readonly fast", acl: "@keyspace @read @fast",
			tips:  "request_policy:all_shards response_policy:agg_sum",
			since: "1.0.0", group: "server", complexity: "O(1)",
			summary: "Return the number of keys in the selected database",
			run:     runDBSize,
		},
	}
}

// clusterCommands returns the commands that cluster clients send.
func clusterCommands() []command {
	return []command{
		{
			name: "cluster", arity: -2, flags: "", acl: "@slow",
			since: "3.0.0", group: "cluster", complexity: "Depends on subcommand.",
			summary: "A container for cluster commands",
			subs: []command{
				{
					name: "cluster|slots", arity: 2, flags: "stale", acl: "@slow",
					tips:  "nondeterministic_output",
					since: "3.0.0", group: "cluster", complexity: "O(N) where N is the total number of Cluster nodes",
					summary: "Get array of Cluster slot to node mappings",
					run:     runClusterSlots,
				},
				{
					name: "cluster|shards", arity: 2, flags: "stale", acl: "@slow",
					tips:  "nondeterministic_output",
					since: "7.0.0", group: "cluster", complexity: "O(N) where N is the total number of cluster nodes",
					summary: "Get array of cluster slots to node mappings",
					run:     runClusterShards,
				},
				{
					name: "cluster|nodes", arity: 2, flags: "stale", acl: "@slow",
					tips:  "nondeterministic_output",
					since: "3.0.0", group: "cluster", complexity: "O(N) where N is the total number of Cluster nodes",
					summary: "Get Cluster config for the node",
					run:     runClusterNodes,
				},
				{
					name: "cluster|info", arity: 2, flags: "stale", acl: "@slow",
					tips:  "nondeterministic_output",
					since: "3.0.0", group: "cluster", complexity: "O(1)",
					summary: "Provides info about Redis Cluster node state",
					run:     runClusterInfo,
				},
				{
					name: "cluster|keyslot", arity: 3, flags: "stale", acl: "@slow",
					since: "3.0.0", group: "cluster", complexity: "O(N) where N is the number of bytes in the key",
					summary: "Returns the hash slot of the specified key",
					args:    "<key>",
					run:     runClusterKeySlot,
				},
				{
					name: "cluster|myid", arity: 2, flags: "stale", acl: "@slow",
					since: "3.0.0", group: "cluster", complexity: "O(1)",
					summary: "Return the node id",
					run:     runClusterMyID,
				},
				{
					name: "cluster|help", arity: 2, flags: "loading stale", acl: "@slow",
					since: "5.0.0", group: "cluster", complexity: "O(1)",
					summary: "Show helpful text about the different subcommands",
					run:     runHelp("cluster"),
				},
			},
		},
		{
			name: "readonly", arity: 1, flags: "loading stale fast", acl: "@fast @connection",
			since: "3.0.0", group: "cluster", complexity: "O(1)",
			summary: "Enables read queries for a connection to a cluster replica node",
			run:     runOK,
		},
		{
			name: "readwrite", arity: 1, flags: "loading stale fast", acl: "@fast @connection",
			since: "3.0.0", group: "cluster", complexity: "O(1)",
			summary: "Disables read queries for a connection to a cluster replica node",
			run:     runOK,
		},
		{
			name: "asking", arity: 1, flags: "fast", acl: "@fast @connection",
			since: "3.0.0", group: "cluster", complexity: "O(1)",
			summary: "Sent by cluster clients after an -ASK redirect",
			run:     runOK,
		},
	}
}

// versionCommands returns the commands that only this store has.
func versionCommands() []command {
	return []command{
		{
			name: "getv", arity: -2, flags: "readonly fast", acl: "@read @fast",
			keys:  keys{1, 1, 1, "RO access"},
			since: "0.1.0", group: "holdfast", complexity: "O(N) where N is the number of concurrent values",
			summary: "Get all concurrent values of a key, newest first, and the context that covers them",
			plan:    planGetV,
		},
		{
			name: "putctx", arity: -4, flags: "write denyoom", acl: "@write @slow",
			keys:  keys{1, 1, 1, "RW access update"},
			since: "0.1.0", group: "holdfast", complexity: "O(1)",
			summary: "Set a key in place of the values that a context covers; returns the new context",
			plan:    planPutCtx,
		},
		{
			name: "delctx", arity: -3, flags: "write", acl: "@write @slow",
			keys:  keys{1, 1, 1, "RW access delete"},
			since: "0.1.0", group: "holdfast", complexity: "O(1)",
			summary: "Delete the values of a key that a context covers",
			plan:    planDelCtx,
		},
		{
			name: "holdfast", arity: -2, flags: "", acl: "@slow",
			since: "0.1.0", group: "holdfast", complexity: "Depends on subcommand.",
			summary: "A container for the commands of the cluster",
			subs: []command{
				{
					name: "holdfast|status", arity: 2, flags: "loading stale", acl: "@slow",
					since: "0.1.0", group: "holdfast", complexity: "O(N) where N is the number of nodes",
					summary: "Get what every node says of itself, as JSON",
					run:     runHoldfastStatus,
				},
				{
					name: "holdfast|ring", arity: 2, flags: "loading stale", acl: "@slow",
					since: "0.1.0", group: "holdfast", complexity: "O(N) where N is the number of partitions",
					summary: "Get who holds which partition, as JSON",
					run:     runHoldfastRing,
				},
				{
					name: "holdfast|preflist", arity: 3, flags: "loading stale", acl: "@slow",
					keys:  keys{2, 2, 1, "RO"},
					since: "0.1.0", group: "holdfast", complexity: "O(1)",
					summary: "Get the nodes that a request for a key would ask now, in order",
					args:    "<key>",
					run:     runHoldfastPreflist,
				},
				{
					name: "holdfast|leave", arity: 2, flags: "admin noscript", acl: "@admin @slow @dangerous",
					since: "0.1.0", group: "holdfast", complexity: "O(1)",
					summary: "Make the asked node hand its data on and leave the cluster",
					run:     runHoldfastLeave,
				},
				{
					name: "holdfast|remove", arity: 3, flags: "admin noscript", acl: "@admin @slow @dangerous",
					since: "0.1.0", group: "holdfast", complexity: "O(1)",
					summary: "Declare a node removed for ever",
					args:    "<node>",
					run:     runHoldfastRemove,
				},
				{
					name: "holdfast|repair", arity: -2, flags: "admin noscript", acl: "@admin @slow @dangerous",
					since: "0.1.0", group: "holdfast", complexity: "O(N) where N is the number of partitions, and of the rows of those that differ",
					summary: "Compare the copies of partitions and make them agree",
					args:    "[PARTITION <partition>] [SCAN]",
					run:     runHoldfastRepair,
				},
				{
					name: "holdfast|quorum", arity: -2, flags: "noscript", acl: "@slow @connection",
					since: "0.1.0", group: "holdfast", complexity: "O(1)",
					summary: "Set this connection's R and W, or restore the keyspace's own",
					args:    "[R <n>] [W <n>]",
					run:     runHoldfastQuorum,
				},
				{
					name: "holdfast|help", arity: 2, flags: "loading stale", acl: "@slow",
					since: "0.1.0", group: "holdfast", complexity: "O(1)",
					summary: "Show helpful text about the different subcommands",
					run:     runHelp("holdfast"),
				},
			},
		},
	}
}
