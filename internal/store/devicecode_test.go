package store_test

import (
	"testing"

	"github.com/ostiary/ostiary/internal/model"
	"github.com/ostiary/ostiary/internal/store"
)

func TestDeviceCode(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		d := model.DeviceCode{Hash: "h1", UserHash: "u1", ClientID: "shop", Asked: model.Asked{Scope: []string{"openid"}}, Pause: 5, CreatedAt: 1, ExpiresAt: 100}
		put := func(d model.DeviceCode) func(*store.Tx) error {
			return func(tx *store.Tx) error { return tx.InsertDeviceCode(d) }
		}
		find := func(hash string) model.DeviceCode {
			t.Helper()
			return read(t, s, func(tx *store.Tx) (model.DeviceCode, error) { return tx.DeviceCode(hash) })
		}
		upkeep(t, s, put(d))
		equal(t, find("h1"), d)
		equal(t, read(t, s, func(tx *store.Tx) (model.DeviceCode, error) { return tx.DeviceCodeShown("u1") }), d)
		twin := d
		twin.Hash = "h2"
		fails(t, s, store.ErrConflict, put(twin)) // two devices never show the same
		fails(t, s, store.ErrNotFound, missing(func(tx *store.Tx) (model.DeviceCode, error) { return tx.DeviceCodeShown("h1") }))

		upkeep(t, s, func(tx *store.Tx) error { return tx.AskDeviceCode("h1", 7000, 10) })
		if got := find("h1"); got.AskedAt != 7000 || got.Pause != 10 {
			t.Errorf("%+v", got)
		}
		redeem := missing(func(tx *store.Tx) (model.DeviceCode, error) { return tx.RedeemDeviceCode("h1", 99) })
		fails(t, s, store.ErrNotFound, redeem)
		fails(t, s, store.ErrNotFound, func(tx *store.Tx) error { return tx.ApproveDeviceCode("h1", "g", 100, 200) }) // too late
		upkeep(t, s, func(tx *store.Tx) error { return tx.ApproveDeviceCode("h1", "g", 99, 200) })
		fails(t, s, store.ErrNotFound, func(tx *store.Tx) error { return tx.ApproveDeviceCode("h1", "g2", 99, 300) })
		fails(t, s, store.ErrNotFound, func(tx *store.Tx) error { return tx.DenyDeviceCode("h1", 99) })
		upkeep(t, s, redeem)
		fails(t, s, store.ErrNotFound, redeem)
		if got := find("h1"); got.GrantID != "g" || got.UsedAt != 99 || got.ExpiresAt != 200 {
			t.Errorf("%+v", got)
		}

		twin.UserHash = "u2"
		upkeep(t, s, put(twin))
		upkeep(t, s, func(tx *store.Tx) error { return tx.DenyDeviceCode("h2", 99) })
		fails(t, s, store.ErrNotFound, func(tx *store.Tx) error { return tx.ApproveDeviceCode("h2", "g", 99, 200) })
		count := func(most int) int {
			return read(t, s, func(tx *store.Tx) (int, error) { return tx.CountDeviceCodes(most) })
		}
		equal(t, []int{count(5), count(1)}, []int{2, 1})
		upkeep(t, s, func(tx *store.Tx) error { return tx.DeleteClient("shop") })
		if n := count(5); n != 0 {
			t.Errorf("%d outlive their client", n)
		}
	})
}
