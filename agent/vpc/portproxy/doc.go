// Package portproxy is the small process that holds the published ports of one machine's containers.
//
// The kernel carries published IPv4 traffic by nftables and needs this process for nothing. The process
//
//   - binds every published port on all addresses, so that nobody else can take it and a conflict is an error at once;
//   - chooses dynamic ports by binding them;
//   - carries what arrives over IPv6 (also [::1]), for which containers have no address;
//   - answers DNS queries of containers on the bridge's gateway: Berth's names itself (package names), the others by
//     the machine's resolvers, which may live on the machine's loopback where no container can reach them;
//   - answers Berth's names, and no others, to the machine itself, on the last address of its loopback network.
//
// It outlives the agent. An agent that starts finds it by its socket and compares what it holds with the records of
// the containers. It keeps no state of its own: whoever starts it tells it which ports to hold.
//
// Files in its directory: proxy.json (Config, written by the agent), proxy.sock, proxy.lock (held while it lives, has
// its process ID), proxy.log.
package portproxy
