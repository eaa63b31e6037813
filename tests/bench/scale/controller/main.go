// A controller that does nothing but read its cache: the least that any controller built with
// controller-runtime has to do after a restart. The benchmark compares our operator with it.
//
// Usage: controller <kubeconfig> <number of objects>. It prints one line once as many objects
// were reconciled, and goes on running until it is told to stop.
package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/clientcmd"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	metrics "sigs.k8s.io/controller-runtime/pkg/metrics/server"
)

// counter counts distinct objects and tells when all were seen.
type counter struct {
	mutex  sync.Mutex
	seen   map[string]struct{}
	wanted int
	begun  time.Time
}

func (c *counter) saw(kind string, key client.ObjectKey) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.seen[kind+"/"+key.String()] = struct{}{}
	if len(c.seen) == c.wanted {
		fmt.Printf("all seen after %.3f seconds\n", time.Since(c.begun).Seconds())
		c.wanted = -1
	}
}

type reader struct {
	client  client.Client
	kind    schema.GroupVersionKind
	counter *counter
}

// Reconcile reads the object from the cache and compares its generation with the status, as a
// controller does that sees that there is nothing to do.
func (r *reader) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(r.kind)
	if err := r.client.Get(ctx, request.NamespacedName, object); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	observed, _, _ := unstructured.NestedInt64(object.Object, "status", "observedGeneration")
	if observed != object.GetGeneration() {
		fmt.Fprintf(os.Stderr, "%s %s is not settled\n", r.kind.Kind, request)
	}
	r.counter.saw(r.kind.Kind, request.NamespacedName)
	return ctrl.Result{}, nil
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	begun := time.Now()
	wanted, err := strconv.Atoi(os.Args[2])
	if err != nil {
		return err
	}
	ctrl.SetLogger(zap.New(zap.WriteTo(os.Stderr)))
	config, err := clientcmd.BuildConfigFromFlags("", os.Args[1])
	if err != nil {
		return err
	}
	config.QPS, config.Burst = 1000, 1000
	manager, err := ctrl.NewManager(config, ctrl.Options{
		Metrics: metrics.Options{BindAddress: "0"},
		Cache:   cache.Options{DefaultTransform: cache.TransformStripManagedFields()},
		// Reads of unstructured objects go to the API server, unless they are asked to use the cache.
		Client: client.Options{Cache: &client.CacheOptions{Unstructured: true}},
	})
	if err != nil {
		return err
	}
	count := &counter{seen: map[string]struct{}{}, wanted: wanted, begun: begun}
	for _, name := range []string{"CustomModel", "ModelDeployment"} {
		kind := schema.GroupVersionKind{Group: "together.ai", Version: "v1alpha1", Kind: name}
		object := &unstructured.Unstructured{}
		object.SetGroupVersionKind(kind)
		err := ctrl.NewControllerManagedBy(manager).
			For(object).
			WithOptions(controller.Options{MaxConcurrentReconciles: 16}).
			Complete(&reader{manager.GetClient(), kind, count})
		if err != nil {
			return err
		}
	}
	return manager.Start(ctrl.SetupSignalHandler())
}
