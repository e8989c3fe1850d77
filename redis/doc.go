// Package lagredis keeps the state of a store in Redis 7 or Valkey, single node or Cluster. Any number of processes write and read one
// state, and the state survives all of them. Open returns a storage.Store; a Coordinator knows it as the class "redis".
//
// The rules are those of the store in memory, implemented once, in Go: a group is loaded and changed by the same code, and a script
// that only compares versions writes the changes back. The server stores opaque values. The time is always that of the writing
// process, never the server's.
//
// # Buckets
//
// The groups are spread over buckets. Each bucket has its own hash tag, so all of it lies in one slot, and a replica holds a prefix of
// its history. The bucket of a group is its partition of __consumer_offsets, if Options.Buckets is the number of those partitions
// (protocol.LogPartitionOf). Beside its groups, a bucket holds the position in the log that it reflects: a failover that loses
// acknowledged writes yields an earlier state together with its position, and a replay from there restores it. End offsets are in
// buckets of topics.
//
// # Keys
//
// Every key begins with Options.KeyPrefix. <c> is the name of a cluster after its length in bytes and a colon: 4:prod.
//
//	{m}:settings           hash    what the state was written with: format, number of buckets, rules
//	{g0}:lease             hash    who feeds the bucket, until when, with which epoch
//	{g0}:writers           hash    how many changes each process that feeds the bucket has made of it
//	{g0}:swept             hash    at: when the bucket was last swept, Unix milliseconds
//	{g0}:events            stream  what happened to groups of the bucket
//	{g0}:positions:<c>     hash    partition of the commit log -> next offset to read
//	{g0}:live:<c>          zset    groups by their last sign of life, Unix milliseconds
//	{g0}:stalest:<c>       zset    groups of several topics by that of the topic that has been silent longest
//	{g0}:of:<c>:<topic>    set     groups that hold the topic
//	{g0}:group:<c>:<group> hash    v: version; m: the group; t…: a topic; p…: a partition; o…: owners of a topic
//	{t0}:events            stream  what happened to topics of the bucket
//	{t0}:topics:<c>        zset    topics by when they were last polled, Unix milliseconds
//	{t0}:topic:<c>:<topic> hash    v: version; m: the topic; p…: a partition with its end offsets and their curve; of one that
//	                               was deleted: v, and d: how many of that name were
//	{t0}:deleted:<c>       zset    topics that were deleted by when, Unix milliseconds; kept for expire-topic
//	{g0}:mark:<process>    string  when a process that reads from replicas was there last, Unix milliseconds; the same for {t0}
//	{m}:members            zset    processes that share the buckets, by when their sign of life runs out, Unix milliseconds
//
// # Rights
//
// The user needs the keys of its prefix and these commands; the second line has those that the script runs:
//
//	ACL SETUSER monitor on >secret resetkeys ~lagkeeper:* -@all +hello +ping +readonly +info +cluster|slots +cluster|shards +asking
//	  +get +set +hset +hdel +del +zadd +zrem +sadd +srem +xadd +evalsha +eval
//	  +hget +hmget +hgetall +hlen +hexists +smembers +zrange +zrangebyscore +zremrangebyscore +zcard +zinter +xrange +xinfo|stream
//
// The server must not evict keys: Open returns an error if its maxmemory-policy is one of allkeys-*. If the server is out of memory,
// writes return storage.ErrFull.
package lagredis
