// Package try puts a policy in force in throw-away network namespaces and sends
// real packets through them.
package try
