# inputs: begin
$UndoGroups = @()
$UndoGroupIds = @()
$Thumbprint = ''
# inputs: end
# part: before
# part: held
# part: configurator
function Step-UndoEncryption {
    $Before = Get-Before
    $Failed = @()
    if (@($UndoGroups | Where-Object -FilterScript { $Before.ContainsKey($_) }).Count -gt 0) {
        Assert-Person
    }
    foreach ($Group in $UndoGroups) {
        try {
            if ($Before.ContainsKey($Group)) {
                Restore-Group -Group $Group -Id ($UndoGroupIds[[array]::IndexOf($UndoGroups, $Group)]) -Was $Before[$Group]
            }
            else {
                '{0} was not changed' -f $Group
            }
        }
        catch {
            $Failed += $_.Exception.GetBaseException().Message
        }
    }
    if ($Failed.Count -gt 0) {
        throw ($Failed -join ' ')
    }
    Assert-Running
}

# Lets one group use again what it used before, unless a person has decided otherwise since.
function Restore-Group {
    param([string]$Group, [string]$Id, [string]$Was)
    $Now = Get-GroupCertificate -Group $Group
    $Settled = ''
    if (@($ByHand.Split(',').Trim()) -contains $Group) {
        $Settled = '{0} was switched by hand, as you say' -f $Group
    }
    elseif (-not (Test-Installed)) {
        $Settled = '{0} is gone: no XProtect is installed here' -f $Group
    }
    elseif ($Now -ne 'unknown' -and $Now -ne $Was -and $Now -ne $Thumbprint) {
        $Settled = '{0} uses {1}, which somebody chose since: it stays so' -f $Group, (Get-Used -Label $Now)
    }
    if ($Settled -and $PSCmdlet.ShouldProcess($Group, 'Forget what it used before')) {
        Remove-Note -What ('given {0}' -f $Group)
        Remove-Before -What $Group
    }
    if ($Settled) {
        return $Settled
    }
    if ($Was -eq 'unknown') {
        throw ('{0} did not say which certificate it used before. What to do: choose it in the window of Server Configurator, then run undo.ps1 -ByHand ''{0}''.' -f $Group)
    }
    if ($Was -and -not (Test-Uses -Group $Group -Label $Was) -and -not (Test-Held -Label $Was)) {
        throw ('{0} stays on {1}: {2}, which it used before, is gone from this computer or has no key. What to do: nothing, if it is to stay so; else choose another one, or none, in the window of Server Configurator, then run undo.ps1 again.' -f $Group, (Get-Used -Label $Now), $Was)
    }
    Set-GroupCertificate -Group $Group -Id $Id -Label $Was
    if (Test-Uses -Group $Group -Label $Was) {
        if (-not $Was) {
            Remove-Note -What ('given {0}' -f $Group)
        }
        Remove-Before -What $Group
    }
}
