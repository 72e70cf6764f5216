package merkle

// The shape of trees. Nodes of different sizes must agree upon the fan-out, and on the depth only where they compare.
const (
	FanBits  = 4            // of a key's hash, which choose among the children of a node
	Fan      = 1 << FanBits // children of a node
	DepthMax = 3            // levels below the root of the largest tree
	DepthMin = 2            // of the smallest, for nodes with many partitions and little memory

	LeavesMax     = 1 << (FanBits * DepthMax)
	ParentsMax    = LeavesMax / Fan // nodes that one question asks the children of
	PartitionsMax = 16384           // roots in one frame

	sumBytes = 8
)

// Bytes returns the memory of a tree of the depth.
func Bytes(depth int) int64 { return sumBytes << (FanBits * depth) }
