# part: store

# Takes a root out of LocalMachine\Root, once the CAs of this folder are trusted there.
function Remove-Root {
    param([string]$Label)
    if (-not (Test-Path -LiteralPath ('Cert:\LocalMachine\Root\{0}' -f $Label))) {
        return ('{0} is not in LocalMachine\Root' -f $Label)
    }
    foreach ($Successor in $CaThumbprints) {
        if (-not (Test-Path -LiteralPath ('Cert:\LocalMachine\Root\{0}' -f $Successor))) {
            throw ('{0} stays, because {1} of this folder is not in LocalMachine\Root.' -f $Label, $Successor)
        }
    }
    if (-not $PSCmdlet.ShouldProcess('LocalMachine\Root', ('Remove {0}' -f $Label))) {
        return ('{0} is still in LocalMachine\Root' -f $Label)
    }
    Add-Before -What ('Root {0}' -f $Label) -Was 'present'
    Remove-Shown -Store 'Root' -Label $Label
    '{0} is no longer in LocalMachine\Root' -f $Label
}
