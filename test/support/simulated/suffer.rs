//! Applies each fault to a cluster.

use super::cluster::SimCluster;
use super::fault::Fault;

impl SimCluster {
    /// Applies a fault or a repair. The stage handles starts, which take time, and operators' requests,
    /// whose answers it awaits.
    pub fn suffer(&mut self, fault: Fault) {
        let id = |number: usize| &self.nodes[number].id;
        match fault {
            Fault::Cut(a, b) => self.cut(a, b),
            Fault::CutOneWay(a, b) => self.network.cut_one_way(id(a), id(b)),
            Fault::Flap(a, b, half_ms) => self.network.flap(id(a), id(b), half_ms),
            Fault::Slow(a, b, ms) => self.network.slow_down(id(a), id(b), ms),
            Fault::Lose(a, b, percent) => self.network.lose(id(a), id(b), percent),
            Fault::Break(a, b) => self.network.break_streams(id(a), id(b)),
            Fault::HealLink(a, b) => self.network.heal_link(id(a), id(b)),
            Fault::Redirect(a, b) => self.network.redirect(id(a), Some(id(b))),
            Fault::EndRedirect(a) => self.network.redirect(id(a), None),
            Fault::Isolate(a) => self.isolate(a),
            Fault::Rejoin(a) => self.rejoin(a),
            Fault::Kill(a) => self.kill(a),
            Fault::Wipe(a) => self.wipe(a),
            Fault::Freeze(a) => self.nodes[a].gate.freeze(),
            Fault::Thaw(a) => self.nodes[a].gate.thaw(),
            Fault::Clock(a, ms) => {
                self.ages_were_hidden |= self.hides_ages(ms);
                self.nodes[a].world.set_offset_ms(ms);
            }
            Fault::Clocks(ms) => {
                self.ages_were_hidden |= self.hides_ages(ms);
                self.nodes.iter().for_each(|node| node.world.set_offset_ms(ms));
            }
            Fault::Drift(a, ppm) => self.nodes[a].world.set_drift_ppm(ppm),
            Fault::DiskFull(a, full) => self.nodes[a].disk.set_full(full),
            Fault::SlowDisk(a, ms) => self.nodes[a].disk.set_sync_ms(ms),
            Fault::DiskInDoubt(a, in_doubt) => self.nodes[a].disk.set_in_doubt(in_doubt),
            Fault::Copy(a) => self.copy_disk(a),
            Fault::Start(_)
            | Fault::StartAs(..)
            | Fault::Add { .. }
            | Fault::Remove { .. }
            | Fault::RemoveHere { .. }
            | Fault::GoBack(_) => {}
        }
    }
}
