package vpc

func agentProcess() {}
