/**
 * What the guest does in each boot: at the first ask for the updates, one after the other, and once nothing is under way
 * any more write down what the agent says, and power off. It runs in every image, so it lies on the data partition.
 */
export function scenarioScript(references: readonly string[], plainReboots = 0): string {
  return `
set -u
cd /data/vm
say() { echo "vm-scenario: $*"; }
boots=$(( $(cat boots 2>/dev/null || echo 0) + 1 ))
echo "$boots" > boots
. /etc/kaon-vm-release
slot=$(sed -n 's/.*kaon.slot=\\([^ ]*\\).*/\\1/p' /proc/cmdline)
echo "$slot $VERSION" >> history
sync
say "boot $boots, slot $slot, $VERSION"
# Each start of a Node costs seconds of an emulated processor, so the waiting is done without one.
ask() { curl --silent --fail --unix-socket /run/kaon/kaon.sock "http://kaon$1"; }
phase() { ask /v1/status | grep -o '"phase":"[a-z-]*"' | head -n 1 | cut -d'"' -f4; }
until [ -n "$(phase)" ]; do sleep 1; done
while [ "$(phase)" != idle ]; do sleep 1; done
asked=$(cat asked 2>/dev/null || echo 0)
for reference in ${references.join(' ')}; do
  count=$(( \${count:-0} + 1 ))
  [ "$count" -gt "$asked" ] || continue
  echo "$count" > asked; sync
  say "update to $reference"
  kaonctl --json update "$reference" --detach
  while [ "$(phase)" != idle ]; do sleep 1; done
  sleep 1
done
reboots=$(cat reboots 2>/dev/null || echo 0)
if [ "$reboots" -lt ${plainReboots} ]; then
  echo $((reboots + 1)) > reboots; sync
  systemctl reboot
  exit 0
fi
ask /v1/status > status.json
ask /v1/updates > history.json
ask /v1/rollbacks > rollbacks.json
systemctl --failed --no-legend > failed-units
systemctl is-active boot-complete.target > boot-complete
sync
say done
systemctl poweroff
`;
}
