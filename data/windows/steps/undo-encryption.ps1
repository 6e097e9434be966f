# inputs: begin
$ComputerName = ''
$UndoGroups = @()
$UndoGroupIds = @()
$UndoTurns = @()
$Thumbprint = ''
$Superseded = @()
# inputs: end
# part: before
# part: held
# part: configurator
# part: own-turn
# As on the way there, what is refused ends the visit: other computers come first.
function Step-UndoEncryption {
    $Mine = Get-OwnTurn -Turns $UndoTurns
    Assert-Running
    foreach ($Group in $UndoGroups) {
        $Number = [array]::IndexOf($UndoGroups, $Group)
        if ($UndoTurns[$Number] -eq $Mine) {
            Restore-Group -Group $Group -Id $UndoGroupIds[$Number]
        }
    }
}

# The certificates from which the way leads back.
function Get-Own {
    $Thumbprint
    if ($All) {
        $Superseded
    }
}

# A group that this folder has not switched stays as it is. Where it uses a certificate of this kit all
# the same, nothing is well.
function Get-Unchanged {
    param([string]$Group)
    foreach ($Label in Get-Own) {
        if (Test-Uses -Group $Group -Label $Label) {
            $Where = 'switch it off, or choose another certificate, in the window of Server Configurator'
            foreach ($Note in @((Read-Note).Keys | Where-Object -FilterScript { $_ -match '^\d{4}-\S+ (.+)$' -and $Matches[1] -eq $Group } | Sort-Object)) {
                $Where = 'run undo.ps1 -Phase Off of the folder that was made {0}, or this one with -All' -f $Note.Split(' ')[0]
            }
            throw ('{0} uses {1}, and this folder has no note of what it used before. What to do: {2}.' -f $Group, $Label, $Where)
        }
    }
    '{0} was not changed: it uses {1}' -f $Group, (Get-Used -Label (Get-GroupCertificate -Group $Group))
}

# Lets one group use again what it used before, unless a person has decided otherwise since.
function Restore-Group {
    param([string]$Group, [string]$Id)
    $Before = Get-Before
    if (-not $Before.ContainsKey($Group)) {
        return Get-Unchanged -Group $Group
    }
    $Was = $Before[$Group]
    $Ours = @('unknown', $Was) + @(Get-Own)
    $Now = Get-GroupCertificate -Group $Group
    $Settled = ''
    if (@($ByHand.Split(',').Trim()) -contains $Group) {
        $Settled = '{0} was switched by hand, as you say' -f $Group
    }
    elseif (-not (Test-Installed)) {
        $Settled = '{0} is gone: no XProtect is installed here' -f $Group
    }
    elseif ($Ours -notcontains $Now) {
        $Settled = '{0} uses {1}, which somebody chose since: it stays so' -f $Group, (Get-Used -Label $Now)
    }
    if ($Settled) {
        if ($PSCmdlet.ShouldProcess($Group, 'Forget what it used before')) {
            Remove-Note -What ('given {0}' -f $Group)
            Remove-Before -What $Group
        }
        return $Settled
    }
    if ($Was -eq 'unknown') {
        throw ('{0} did not say which certificate it used before. What to do: choose it in the window of Server Configurator, then run this again with -ByHand ''{0}''.' -f $Group)
    }
    if ($Was -and -not (Test-Uses -Group $Group -Label $Was) -and -not (Test-Held -Label $Was)) {
        throw ('{0} stays on {1}: {2}, which it used before, is gone from this computer or has no key. What to do: nothing, if it is to stay so; else choose another one, or none, in the window of Server Configurator, then run this again.' -f $Group, (Get-Used -Label $Now), $Was)
    }
    Assert-Person
    Set-GroupCertificate -Group $Group -Id $Id -Label $Was
    if (Test-Uses -Group $Group -Label $Was) {
        if (-not $Was) {
            Remove-Note -What ('given {0}' -f $Group)
        }
        Remove-Before -What $Group
    }
}
