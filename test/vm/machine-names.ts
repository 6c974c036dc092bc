/** The columns of the matrix, as README.md names them. */
export const machineNames = ['GRUB on BIOS', 'GRUB on UEFI'] as const;
