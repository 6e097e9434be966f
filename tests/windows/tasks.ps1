# Stands in for the Task Scheduler, the event log and the personal store of a Windows computer, then
# runs a script unchanged. What is done is kept in files of the folder State.
param([string]$State, [string]$Script, [string]$Line, [string]$Mode, [string]$Culture, [switch]$Old)

class StandInIdentity {
    [string]$Name = "LYON\ann o'neill"
    static [object] GetCurrent() { return [StandInIdentity]::new() }
}

class StandInPrincipal {
    StandInPrincipal([object]$Identity) {}
    [bool] IsInRole([object]$Role) { return -not [System.IO.File]::Exists("$env:STAND_IN_STATE/no-rights") }
}

class StandInEventLog {
    static [void] CreateEventSource([string]$Source, [string]$Log) {
        [System.IO.File]::WriteAllText("$env:STAND_IN_STATE/source-$Log-$Source", '')
    }
    static [void] DeleteEventSource([string]$Source) {
        [System.IO.File]::Delete("$env:STAND_IN_STATE/source-Application-$Source")
    }
    static [void] WriteEntry([string]$Source, [string]$Text, [object]$Kind, [int]$Number) {
        [System.IO.File]::AppendAllText("$env:STAND_IN_STATE/events.txt", "$Source $Kind ${Number}: $Text`n")
    }
}

if (-not $Old) {
    # Windows refuses these characters in a task's name: MS-TSCH 2.3.11.
    function Register-ScheduledTask {
        [CmdletBinding()]
        param($TaskName, $TaskPath, $Xml, $Action, $Trigger, $Principal, $Settings, [switch]$Force)
        if ($TaskName -match '[:/\\]') { throw 'The filename, directory name, or volume label syntax is incorrect.' }
        $Told = @{ TaskName = $TaskName; Xml = $Xml; Action = $Action; Trigger = $Trigger }
        $Told += @{ Principal = $Principal; Settings = $Settings }
        [System.IO.File]::WriteAllText("$env:STAND_IN_STATE/task.json", (ConvertTo-Json $Told -Depth 5))
    }
    function Get-ScheduledTask {
        [CmdletBinding()]
        param($TaskName, $TaskPath)
        if (-not [System.IO.File]::Exists("$env:STAND_IN_STATE/task.json")) {
            Write-Error 'No MSFT_ScheduledTask objects found'
            return
        }
        $TaskName
    }
    function Get-ScheduledTaskInfo {
        [CmdletBinding()]
        param($TaskName, $TaskPath)
        @{ LastTaskResult = 1 }
    }
    # The true one asks, too, unless it is told not to.
    function Unregister-ScheduledTask {
        [CmdletBinding(SupportsShouldProcess, ConfirmImpact = 'High')]
        param($TaskName, $TaskPath)
        if ($PSCmdlet.ShouldProcess($TaskName)) { [System.IO.File]::Delete("$env:STAND_IN_STATE/task.json") }
    }
    function New-ScheduledTaskAction { param($Execute, $Argument) $PSBoundParameters }
    function New-ScheduledTaskTrigger { param([switch]$Daily, [datetime]$At) $PSBoundParameters }
    function New-ScheduledTaskPrincipal { param($UserId, $LogonType, $RunLevel) $PSBoundParameters }
    function New-ScheduledTaskSettingsSet {
        param([switch]$StartWhenAvailable, [switch]$AllowStartIfOnBatteries, [switch]$DontStopIfGoingOnBatteries)
        $Told = @{}
        foreach ($Name in $PSBoundParameters.Keys) { $Told[$Name] = $true }
        $Told
    }
}

function Get-ChildItem {
    param($Path)
    if ($Path -ne 'Cert:\LocalMachine\My') { throw $Path }
    foreach ($File in [System.IO.Directory]::GetFiles("$env:STAND_IN_STATE/My")) {
        [System.Security.Cryptography.X509Certificates.X509Certificate2]::new([System.IO.File]::ReadAllBytes($File))
    }
}

function Test-Path {
    param([string]$LiteralPath)
    if ($LiteralPath -like 'Registry::*\EventLog\Application\*') {
        $LiteralPath = '{0}/source-Application-{1}' -f $env:STAND_IN_STATE, ($LiteralPath -split '\\')[-1]
    }
    Microsoft.PowerShell.Management\Test-Path -LiteralPath $LiteralPath
}

$env:STAND_IN_STATE = $State
$env:COMPUTERNAME = 'PC-01'
$Accelerators = [psobject].Assembly.GetType('System.Management.Automation.TypeAccelerators')
$Accelerators::Add('System.Security.Principal.WindowsIdentity', [StandInIdentity])
$Accelerators::Add('System.Security.Principal.WindowsPrincipal', [StandInPrincipal])
$Accelerators::Add('System.Diagnostics.EventLog', [StandInEventLog])
if ($Culture) {
    [System.Threading.Thread]::CurrentThread.CurrentCulture = [cultureinfo]::GetCultureInfo($Culture)
}
$Call = [scriptblock]::Create("& '$($Script -replace "'", "''")' $Line")
if ($Mode) {
    # A script block keeps the mode in which it was made, so the script is called by its name.
    $ExecutionContext.SessionState.LanguageMode = $Mode
    & $Script
}
& $Call
exit $LASTEXITCODE
