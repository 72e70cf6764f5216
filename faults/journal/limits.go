package journal

const lineMax = 32 << 20 // bytes of a journal's line, which holds a value and what its key has seen
