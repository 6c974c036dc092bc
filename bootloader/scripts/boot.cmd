# kaon on U-Boot: which slot boots, counted before anything of it runs.
#
# Build it with: mkimage -A arm64 -T script -C none -n kaon -d boot.cmd boot.scr
# and let bootcmd run it: load ${devtype} ${devnum}:1 ${scriptaddr} /boot.scr; source ${scriptaddr}
#
# The environment holds, and kaon writes:
#   BOOT_ORDER     boot names of the slots that may boot, the preferred one first
#   BOOT_<n>_LEFT  boots that are left to the slot, one hexadecimal digit; the running system renews it
#   kaon_trial     the boot name of the slot in trial, or -
#   kaon_tries     how many tries the trial was armed with
#
# The first slot of BOOT_ORDER with LEFT > 0 boots, and its LEFT goes down by one, saved before the kernel starts. When
# none is left, every proven slot gets its boots back (never the one in trial), and the board resets. When the count
# cannot be saved, the trial does not boot: it would never fall back. Without BOOT_ORDER, which is a U-Boot that runs on
# its compiled-in environment, the slots are taken as they come and nothing is saved: kaon then repairs the environment.
# When there is nothing to boot the script ends, and bootcmd may go on to a recovery.
#
# Where U-Boot cannot save an environment, it lies in two files on FAT instead (kaon_files). Each holds its variables as
# `env export -c` leaves them, with a number in kaon_sequence that grows with each write, hexadecimal as setexpr counts. Of
# the files whose checksum matches, the one with the larger number counts, and always the other one is written. Nothing
# but the variables above is taken out of them: who can write to a FAT partition must not give U-Boot commands.
#
# Commands: test, for and if (CONFIG_HUSH_PARSER), setenv, saveenv, load (CONFIG_CMD_FS_GENERIC), echo, reset, and booti
# (bootz on 32 bits). With files also env import and export, setexpr, itest and fatwrite (CONFIG_FAT_WRITE); not with
# CONFIG_SYS_REDUNDAND_ENVIRONMENT, whose `env import -c` wants a byte of flags.
#
# Set these for the node. The partitions are those that hold /boot of each slot.
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
kaon_full=3
# Both files, of kaon_files_size bytes (hexadecimal, no 0x) each, on this partition of the device; none: saveenv.
kaon_files=""
kaon_files_part=1
kaon_files_size=1000

kaon_names="BOOT_ORDER BOOT_A_LEFT BOOT_B_LEFT kaon_trial kaon_tries kaon_sequence"
if test -n "${kaon_files}"; then
  # What U-Boot started with is not what counts here.
  setenv BOOT_ORDER
  kaon_newest=none
  kaon_spare=none
  for kaon_file in ${kaon_files}; do
    setenv kaon_sequence
    if load ${kaon_device}:${kaon_files_part} ${kernel_addr_r} ${kaon_file}; then
      if test "${filesize}" = "${kaon_files_size}"; then
        env import -d -c ${kernel_addr_r} ${kaon_files_size} kaon_sequence
      fi
    fi
    if test -z "${kaon_sequence}"; then
      kaon_spare=${kaon_file}
    elif test "${kaon_newest}" = none; then
      kaon_newest=${kaon_file}
      kaon_best=${kaon_sequence}
    elif itest ${kaon_sequence} -gt ${kaon_best}; then
      kaon_spare=${kaon_newest}
      kaon_newest=${kaon_file}
      kaon_best=${kaon_sequence}
    else
      kaon_spare=${kaon_file}
    fi
  done
  if test "${kaon_newest}" != none; then
    if load ${kaon_device}:${kaon_files_part} ${kernel_addr_r} ${kaon_newest}; then
      env import -d -c ${kernel_addr_r} ${kaon_files_size} ${kaon_names}
    fi
  fi
fi

kaon_slot=none
kaon_order="${BOOT_ORDER}"
if test -n "${BOOT_ORDER}"; then
  for kaon_candidate in ${BOOT_ORDER}; do
    kaon_left=0
    if test "${kaon_candidate}" = A; then kaon_left="${BOOT_A_LEFT}"; fi
    if test "${kaon_candidate}" = B; then kaon_left="${BOOT_B_LEFT}"; fi
    kaon_below=none
    for kaon_digit in 0 1 2 3 4 5 6 7 8 9 a b c d e f; do
      if test "${kaon_slot}" = none -a "${kaon_below}" != none -a "${kaon_left}" = "${kaon_digit}"; then
        kaon_slot=${kaon_candidate}
        setenv BOOT_${kaon_candidate}_LEFT ${kaon_below}
      fi
      kaon_below=${kaon_digit}
    done
  done

  kaon_renewed=no
  if test "${kaon_slot}" = none; then
    for kaon_candidate in ${BOOT_ORDER}; do
      if test "${kaon_candidate}" != "${kaon_trial}"; then
        setenv BOOT_${kaon_candidate}_LEFT ${kaon_full}
        kaon_renewed=yes
      fi
    done
  fi

  kaon_saved=no
  if test "${kaon_slot}" != none -o "${kaon_renewed}" = yes; then
    if test -z "${kaon_files}"; then
      if saveenv; then kaon_saved=yes; fi
    elif setexpr kaon_sequence ${kaon_sequence} + 1; then
      if env export -c -s ${kaon_files_size} ${kernel_addr_r} ${kaon_names}; then
        if fatwrite ${kaon_device}:${kaon_files_part} ${kernel_addr_r} ${kaon_spare} ${kaon_files_size}; then
          kaon_saved=yes
        fi
      fi
    fi
  fi

  if test "${kaon_saved}" = yes; then
    if test "${kaon_slot}" = none; then
      echo "kaon: no boots left, the proven slots get theirs back"
      reset
    fi
    echo "kaon: counted"
  else
    # Not saved, or nothing proven: what is proven boots uncounted.
    echo "kaon: not counted, no trial boots"
    if test "${kaon_slot}" = "${kaon_trial}"; then kaon_slot=none; fi
    for kaon_candidate in ${BOOT_ORDER}; do
      if test "${kaon_slot}" = none -a "${kaon_candidate}" != "${kaon_trial}"; then kaon_slot=${kaon_candidate}; fi
    done
  fi
  kaon_order="${kaon_slot}"
else
  echo "kaon: no environment, the slots are taken as they come"
  kaon_order="A B"
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

# The count is saved: the next boot tries again, and then the other slot.
if test -n "${BOOT_ORDER}" -a "${kaon_order}" != none; then reset; fi
