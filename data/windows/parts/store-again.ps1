# Puts a certificate back into a store of the computer, if install.ps1 had taken it out.
function Restore-ToStore {
    param([string]$Store, [string]$File, [string]$Label)
    $What = '{0} {1}' -f $Store, $Label
    if ((Get-Before)[$What] -ne 'present') {
        return ('{0} stays as it is in LocalMachine\{1}' -f $Label, $Store)
    }
    Add-ToStore -Store $Store -File $File -Label $Label
    $Back = Test-Path -LiteralPath ('Cert:\LocalMachine\{0}\{1}' -f $Store, $Label)
    if ($Back) {
        Remove-Before -What $What
    }
}
