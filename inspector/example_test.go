package inspector_test

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/inspector"
)

func ExampleNew() {
	db, err := storage.Open(storage.Options{Clusters: []string{"local"}})
	if err != nil {
		panic(err)
	}
	defer db.Close()
	h, err := inspector.New(db, inspector.Options{})
	if err != nil {
		panic(err)
	}
	defer h.Close()
	mux := http.NewServeMux()
	mux.Handle("/lag/", http.StripPrefix("/lag", h))

	server := httptest.NewServer(mux)
	defer server.Close()
	answer, err := http.Get(server.URL + "/lag/")
	if err != nil {
		panic(err)
	}
	defer answer.Body.Close()
	fmt.Println(answer.Status)
	// Output: 200 OK
}

// basicAuth lets in who knows the user and the password. Sums of one length are compared, in constant time: how long it takes
// tells nothing.
func basicAuth(user, password string, next http.Handler) http.Handler {
	want := sha256.Sum256([]byte(user + "\x00" + password))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		gotUser, gotPassword, _ := r.BasicAuth()
		got := sha256.Sum256([]byte(gotUser + "\x00" + gotPassword))
		if subtle.ConstantTimeCompare(got[:], want[:]) != 1 {
			w.Header().Set("WWW-Authenticate", `Basic realm="lag", charset="UTF-8"`)
			http.Error(w, "unauthorized", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// With a user and a password. Use it over TLS only.
func ExampleNew_basicAuth() {
	db, err := storage.Open(storage.Options{Clusters: []string{"local"}})
	if err != nil {
		panic(err)
	}
	defer db.Close()
	h, err := inspector.New(db, inspector.Options{})
	if err != nil {
		panic(err)
	}
	defer h.Close()
	mux := http.NewServeMux()
	mux.Handle("/lag/", basicAuth("ops", "secret", http.StripPrefix("/lag", h)))

	for _, password := range []string{"secret", "guess"} {
		request := httptest.NewRequest(http.MethodGet, "/lag/", nil)
		request.SetBasicAuth("ops", password)
		answer := httptest.NewRecorder()
		mux.ServeHTTP(answer, request)
		fmt.Println(answer.Code)
	}
	// Output:
	// 200
	// 401
}

// Behind a proxy that signs people in with OpenID Connect and says who they are in headers that it sets itself, such as
// oauth2-proxy. The proxy must be the only one that reaches this server: anybody could set the headers.
func ExampleNew_behindProxy() {
	db, err := storage.Open(storage.Options{Clusters: []string{"local"}})
	if err != nil {
		panic(err)
	}
	defer db.Close()
	// Each team sees the groups that begin with its name, operators see all.
	allow := func(r *http.Request, _, group string) bool {
		for team := range strings.SplitSeq(r.Header.Get("X-Forwarded-Groups"), ",") {
			if team == "operators" || team != "" && strings.HasPrefix(group, team+".") {
				return true
			}
		}
		return false
	}
	h, err := inspector.New(db, inspector.Options{Allow: allow})
	if err != nil {
		panic(err)
	}
	defer h.Close()
	signedIn := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Forwarded-User") == "" {
			http.Error(w, "not signed in", http.StatusUnauthorized)
			return
		}
		h.ServeHTTP(w, r)
	})
	mux := http.NewServeMux()
	mux.Handle("/lag/", http.StripPrefix("/lag", signedIn))

	request := httptest.NewRequest(http.MethodGet, "/lag/", nil)
	request.Header.Set("X-Forwarded-User", "ada")
	request.Header.Set("X-Forwarded-Groups", "payments,search")
	answer := httptest.NewRecorder()
	mux.ServeHTTP(answer, request)
	fmt.Println(answer.Code)
	// Output: 200
}
