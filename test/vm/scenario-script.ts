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
if [ -z "$slot" ]; then
  # No loader passed it: what is mounted tells.
  case $(findmnt -n -o PARTLABEL /) in slot-a) slot=A ;; slot-b) slot=B ;; esac
fi
echo "$slot $VERSION" >> history
sync
say "boot $boots, slot $slot, $VERSION"
# Prints the answer's body where the agent took the request: a path, and what is posted to it, if anything. curl would
# load thirty libraries for each.
ask() {
  local request="GET $1 HTTP/1.0\\r\\nHost: kaon\\r\\n" answer
  [ $# = 1 ] || request="POST $1 HTTP/1.0\\r\\nHost: kaon\\r\\nContent-Type: application/json\\r\\nContent-Length: \${#2}\\r\\n"
  answer=$(printf "$request\\r\\n%s" "\${2:-}" | nc.openbsd -U /run/kaon/kaon.sock)
  [[ $answer = 'HTTP/1.1 2'* ]] || return 1
  printf '%s\\n' "\${answer#*$'\\r\\n\\r\\n'}"
}
# Each start of a program and each answer cost an emulated processor dearly, hence few, and none to look at the answer.
until_in() {
  local pattern='"phase":"([a-z-]+)"'
  until [[ $(ask /v1/status) =~ $pattern && \${BASH_REMATCH[1]} = "$1" ]]; do sleep 10; done
}
if [ -e /etc/kaon-is-cancelled ]; then
  until_in trial
  say 'cancels the trial'
  kaonctl cancel
  exec sleep infinity
fi
until_in idle
# The slot that came back tells what it knows of the other one.
[ "$slot" != A ] || ask /v1/rollbacks > rollbacks.json
if [ -e /etc/kaon-breaks-later ]; then
  say 'breaks now'
  touch /run/kaon-vm-broken
  exec sleep infinity
fi
asked=$(cat asked 2>/dev/null || echo 0)
for reference in ${references.join(' ')}; do
  count=$(( \${count:-0} + 1 ))
  [ "$count" -gt "$asked" ] || continue
  echo "$count" > asked; sync
  say "update to $reference"
  # The first one as an operator asks, the others as a program would: a start of Node less for each.
  if [ "$count" = 1 ]; then
    kaonctl --json update "$reference" --detach
  else
    ask /v1/updates '{"image":"'"$reference"'"}'
  fi
  until_in idle
done
reboots=$(cat reboots 2>/dev/null || echo 0)
if [ "$reboots" -lt ${plainReboots} ]; then
  echo $((reboots + 1)) > reboots; sync
  systemctl reboot
  exit 0
fi
ask /v1/status > status.json
ask /v1/updates > history.json
if [[ $(cat rollbacks.json) =~ '"id":"'([^'"']+) ]]; then
  kaonctl --json rollbacks show "\${BASH_REMATCH[1]}" > shown-rollback.json
fi
systemctl --failed --no-legend > failed-units
systemctl is-active boot-complete.target > boot-complete
# All is read: an orderly end would cost as long as a tenth of a boot, and reboots show those.
sync
say done
journalctl --sync
systemctl poweroff --force --force
`;
}
