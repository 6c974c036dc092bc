# kaon on U-Boot with U-Boot's own counter: CONFIG_BOOTCOUNT_LIMIT and CONFIG_BOOTCOUNT_ENV, which count in bootcmd's
# stead. Without them a trial never falls back: use boot.cmd there.
#
# Build it like boot.cmd, and let both bootcmd and altbootcmd run it.
#
# The environment holds, and kaon writes:
#   boot_slot          boot name of the slot that boots
#   upgrade_available  1 in a trial: only then does U-Boot count
#   bootcount          boots of the trial so far; U-Boot adds one before it runs this
#   bootlimit          tries of the trial
#   kaon_proven        boot names of the slots that are proven
#   kaon_trial         the boot name of the slot in trial, or -
#
# A trial whose count is above its limit, or that U-Boot does not count, does not boot: the other proven slot becomes
# boot_slot for good. Without boot_slot, A and then B are tried and nothing is saved.
#
# Set these for the node, as in boot.cmd.
kaon_boot=booti
kaon_kernel=/boot/Image
kaon_initrd=/boot/initrd.img
kaon_dtb=/boot/board.dtb
kaon_args="ro quiet panic=10"
kaon_device="mmc 0"
kaon_part_a=2
kaon_part_b=3
kaon_root_a=PARTLABEL=slot-a
kaon_root_b=PARTLABEL=slot-b

kaon_order="${boot_slot}"
if test -z "${boot_slot}"; then
  echo "kaon: no environment, the slots are taken as they come"
  kaon_order="A B"
elif test "${boot_slot}" = "${kaon_trial}"; then
  kaon_over=no
  if test "${upgrade_available}" != 1; then kaon_over=yes; fi
  if test -z "${bootcount}" -o -z "${bootlimit}"; then kaon_over=yes; fi
  if test "${kaon_over}" = no; then
    if test ${bootcount} -gt ${bootlimit}; then kaon_over=yes; fi
  fi
  if test "${kaon_over}" = yes; then
    echo "kaon: the trial is over"
    kaon_order=none
    for kaon_candidate in ${kaon_proven}; do
      if test "${kaon_order}" = none -a "${kaon_candidate}" != "${kaon_trial}"; then kaon_order=${kaon_candidate}; fi
    done
    if test "${kaon_order}" != none; then
      setenv boot_slot ${kaon_order}
      setenv upgrade_available 0
      setenv bootcount 0
      saveenv
    fi
  fi
fi

for kaon_slot in ${kaon_order}; do
  if test "${kaon_slot}" = A; then
    kaon_part=${kaon_part_a}
    kaon_root=${kaon_root_a}
  else
    kaon_part=${kaon_part_b}
    kaon_root=${kaon_root_b}
  fi
  if test "${kaon_slot}" != none; then
    echo "kaon: slot ${kaon_slot}"
    setenv bootargs "root=${kaon_root} kaon.slot=${kaon_slot} kaon.trial=${kaon_trial} ${kaon_args}"
    kaon_ramdisk=-
    kaon_tree=${fdtcontroladdr}
    if load ${kaon_device}:${kaon_part} ${kernel_addr_r} ${kaon_kernel}; then
      if load ${kaon_device}:${kaon_part} ${fdt_addr_r} ${kaon_dtb}; then kaon_tree=${fdt_addr_r}; fi
      if load ${kaon_device}:${kaon_part} ${ramdisk_addr_r} ${kaon_initrd}; then
        kaon_ramdisk=${ramdisk_addr_r}:${filesize}
      fi
      ${kaon_boot} ${kernel_addr_r} ${kaon_ramdisk} ${kaon_tree}
    fi
    echo "kaon: slot ${kaon_slot} does not start"
  fi
done

# A trial that does not start is counted by U-Boot; a proven slot is all there is.
if test -n "${boot_slot}" -a "${kaon_order}" != none; then reset; fi
