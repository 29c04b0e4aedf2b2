package ecs

import "berth/store"

func clusterInstances(store.Reader, string) int { return 0 }
