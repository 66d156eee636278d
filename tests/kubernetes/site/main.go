// Site is the web app of the Kubernetes tests. It answers with its version and misbehaves as it is told.
//
// What it is told is baked into its image as /behaviour.json, and a commit adds to it as /told/behaviour.json; a variable
// NOREN_SITE_<KEY> of its environment wins.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

type order struct {
	ID string `json:"id"`
}

// told returns the value of a key of the behaviour, "" when there is none.
func told(behaviour map[string]string, key string) string {
	if value := os.Getenv("NOREN_SITE_" + strings.ToUpper(key)); value != "" {
		return value
	}
	return behaviour[key]
}

func number(text string) float64 {
	value, err := strconv.ParseFloat(text, 64)
	if text != "" && err != nil {
		log.Fatalf("site: %q is no number", text)
	}
	return value
}

func read(path string) map[string]string {
	behaviour := map[string]string{}
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return behaviour
	}
	if err == nil {
		err = json.Unmarshal(text, &behaviour)
	}
	if err != nil {
		log.Fatalf("site: %s: %v", path, err)
	}
	return behaviour
}

// seize takes memory and touches each page of it.
func seize(megabytes int) []byte {
	taken := make([]byte, megabytes<<20)
	for at := 0; at < len(taken); at += 4096 {
		taken[at] = 1
	}
	return taken
}

// note appends a line to the ledger of orders, with one write.
func note(path string, line string) error {
	if path == "" {
		return nil
	}
	file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = file.WriteString(line)
	return err
}

// parting says that the clients of kept-alive connections are asked to let go.
var parting atomic.Bool

// partingly tells them, with each answer once it is so.
func partingly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if parting.Load() {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}

// end is what the app does at SIGTERM: "part" answers on with "Connection: close" for two seconds and then shuts down;
// "shutdown" answers what it has and closes idle connections at once; anything else exits with requests in flight, as
// most apps do.
func end(server *http.Server, term string) {
	switch term {
	case "part":
		parting.Store(true) // SetKeepAlivesEnabled(false) would close idle connections at once, which may be in use
		time.Sleep(2 * time.Second)
	case "shutdown":
	default:
		os.Exit(0)
	}
	server.Shutdown(context.Background())
}

func main() {
	behaviour := read("/behaviour.json")
	maps.Copy(behaviour, read("/told/behaviour.json"))
	version, start := told(behaviour, "version"), told(behaviour, "start")
	errorShare := number(told(behaviour, "errors"))
	orders := os.Getenv("NOREN_SITE_ORDERS")
	pod, _ := os.Hostname()

	port := os.Getenv("PORT")
	if port == "" {
		port = "8080"
	}
	server := &http.Server{Addr: ":" + port, Handler: partingly(http.DefaultServeMux)}
	gone := make(chan struct{})
	term := told(behaviour, "term")
	if term == "serve" {
		signal.Ignore(syscall.SIGTERM)
	} else {
		ended := make(chan os.Signal, 1)
		signal.Notify(ended, syscall.SIGTERM)
		go func() { <-ended; end(server, term); close(gone) }()
	}
	held := seize(int(number(told(behaviour, "memory_mb"))))
	time.Sleep(time.Duration(number(told(behaviour, "start_after")) * float64(time.Second)))
	switch start {
	case "crash":
		log.Fatalf("site %s: the database of this version does not exist", version)
	case "hang":
		select {}
	}

	answer := func(w http.ResponseWriter, fields map[string]string) {
		if rand.Float64() < errorShare {
			http.Error(w, "this version fails", http.StatusInternalServerError)
			return
		}
		fields["release"], fields["version"], fields["pod"] = version, version, pod
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(fields)
	}
	http.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		if start == "never-ready" {
			http.Error(w, "not ready", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	http.HandleFunc("GET /", func(w http.ResponseWriter, _ *http.Request) { answer(w, map[string]string{}) })
	http.HandleFunc("POST /orders", func(w http.ResponseWriter, r *http.Request) {
		var asked order
		if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if err := note(orders, fmt.Sprintf("%s %s\n", asked.ID, version)); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		answer(w, map[string]string{"id": asked.ID})
	})

	log.Printf("site %s: listening on port %s, holding %d MB", version, port, len(held)>>20)
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		log.Fatal(err)
	}
	<-gone
}
