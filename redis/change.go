package lagredis

import (
	"context"
	"crypto/sha1" //nolint:gosec // Redis names scripts so
	"encoding/hex"
	"math/rand/v2"
	"slices"
	"strconv"

	"github.com/redis/rueidis"
)

// casScript is the only script that writes. It compares fields of hashes with expected values and runs commands if all are equal;
// otherwise it returns the number of the first field that differs. It knows no rule of the store. It keeps globals in locals, because
// each access to a global costs a lookup in a table.
//
//	ARGV  number of checks; for each: number of a key, field, expected value ("" if there is to be none);
//	      then for each command: number of arguments, name, number of its key, arguments
const casScript = `local call, keys, argv, a = redis.call, KEYS, ARGV, 2
for n = 1, argv[1] + 0 do
  if (call('HGET', keys[argv[a] + 0], argv[a + 1]) or '') ~= argv[a + 2] then return n end
  a = a + 3
end
local last = #argv
while a <= last do
  local n = argv[a] + 0
  call(argv[a + 1], keys[argv[a + 2] + 0], unpack(argv, a + 3, a + 2 + n))
  a = a + 3 + n
end
return 0`

var casName = func() string {
	sum := sha1.Sum([]byte(casScript)) //nolint:gosec // Redis names scripts so
	return hex.EncodeToString(sum[:])
}()

// mostArguments bounds the arguments of one command of the script: Lua's unpack fails above several thousand.
const mostArguments = 2000

// change is one call of casScript. All its keys are in one slot.
type change struct {
	keys     []string
	checks   []string
	commands []string
}

// key returns the number of a key in the script.
func (x *change) key(key string) string {
	for i := len(x.keys) - 1; i >= 0; i-- {
		if x.keys[i] == key {
			return strconv.Itoa(i + 1)
		}
	}
	x.keys = append(x.keys, key)
	return strconv.Itoa(len(x.keys))
}

// expect makes the change depend on the value of a field of a hash; "" means that the field must not exist.
func (x *change) expect(key, field, value string) {
	x.checks = append(x.checks, x.key(key), field, value)
}

// run adds a command. Too many arguments are split into several commands; then each argument, or each pair, must stand for itself.
func (x *change) run(command, key string, arguments ...string) {
	number := x.key(key)
	for {
		some := arguments[:min(len(arguments), mostArguments)]
		x.commands = slices.Grow(x.commands, 3+len(some))
		x.commands = append(append(x.commands, strconv.Itoa(len(some)), command, number), some...)
		if arguments = arguments[len(some):]; len(arguments) == 0 {
			return
		}
	}
}

func (x *change) arguments() []string {
	all := make([]string, 0, 1+len(x.checks)+len(x.commands))
	all = append(all, strconv.Itoa(len(x.checks)/3))
	return append(append(all, x.checks...), x.commands...)
}

func (db *DB) evalsha(x *change) rueidis.Completed {
	return db.client.B().Evalsha().Sha1(casName).Numkeys(int64(len(x.keys))).Key(x.keys...).Arg(x.arguments()...).Build()
}

// outcome returns the number of the check that failed, 0 if the change has happened. A server without the script, such as one that was
// restarted, gets the script again.
func (db *DB) outcome(ctx context.Context, x *change, result rueidis.RedisResult) (failed int, err error) {
	if fault, ok := rueidis.IsRedisErr(result.Error()); ok && fault.IsNoScript() {
		eval := db.client.B().Eval().Script(casScript).Numkeys(int64(len(x.keys))).Key(x.keys...).Arg(x.arguments()...).Build()
		result = db.do(ctx, eval)
	}
	n, err := result.AsInt64()
	return int(n), err
}

// newVersion returns a version that no other change has. A counter would not do: after a failover has lost some of its steps, it would
// give the same number to another state.
func newVersion() string {
	var b [8]byte
	v := rand.Uint64()
	for i := range b {
		b[i] = byte(v >> (8 * i))
	}
	return string(b[:])
}
