// Package trust holds what a node believes others by: the keys that its cluster shares, and the certificates that its nodes
// show each other. Both are files of the operator, read again while the node runs, so that neither is ever a reason
// for a restart.
//
// Files are compared by content, not by time stamp: two edits within one tick of a file system's clock bear the same. What
// cannot be used (absent, half written, a key that does not fit its certificate) changes nothing: the last good content
// stays, and a line a minute says what is wrong.
package trust
