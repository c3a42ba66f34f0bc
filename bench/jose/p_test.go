package main
import "testing"
func BenchmarkV(b *testing.B){ k:=newKey("HS256"); s:=ourSign(k); s(); f:=ourVerify(k,kept); b.ReportAllocs(); for b.Loop(){ f() } }
