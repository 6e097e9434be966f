<#
.SYNOPSIS
    Lets Windows warn in its event log when a certificate of this computer is about to end.
.DESCRIPTION
    Register copies this script to a folder of its own and registers a task, which runs it as SYSTEM
    every day, and when Windows logs the Lifecycle event that a certificate is about to expire or has
    expired. Tell, which the task runs, writes one warning into the Application log for each
    certificate of LocalMachine\My that ends soon; whatever else Windows hands over is ignored.
    Remove undoes Register: task, copy and event source go. Every action may be repeated. One line
    says how it went; the exit code is 0, or 1 where that line says what is wrong.

    The task is one of the Task Scheduler, not one of New-CertificateNotificationTask: that takes a
    script and no execution policy, and Windows 10 and 11 run no script unless they are told to.
    An execution policy that comes by Group Policy decides over both: where it wants signatures, this
    script has to be signed. The copy has no mark of the Internet. It is run every day, too, because whether Windows logs the
    end of a certificate that it did not enrol itself is unconfirmed.
.PARAMETER Action
    Register, Tell or Remove.
.EXAMPLE
    powershell -ExecutionPolicy Bypass -File notify.ps1 Register
.EXAMPLE
    powershell -ExecutionPolicy Bypass -File notify.ps1 Register -WhatIf
    Says what it would do here, and changes nothing.
#>
#Requires -Version 5.1
[CmdletBinding(SupportsShouldProcess)]
param(
    [Parameter(Position = 0)]
    [string]$Action = 'Tell',
    [Parameter(ValueFromRemainingArguments)]
    [object[]]$Ignored = @()
)

# AppLocker and Device Guard leave a script only a small part of the language.
if ($ExecutionContext.SessionState.LanguageMode -ne 'FullLanguage') {
    throw 'This PowerShell runs in constrained language mode (AppLocker or Device Guard). Ask who answers for that policy to allow or sign this script, or do the steps of the page by hand.'
}

# inputs: begin
$TaskName = 'vmscert-certificates-that-end'
$EventSource = 'vmscert'
$Folder = 'C:\Program Files\vmscert'
$Days = '30'
$StartingEvents = @('1002', '1003')
# inputs: end

# https://social.technet.microsoft.com/wiki/contents/articles/14250.certificate-services-lifecycle-notifications.aspx
# https://detection-wiki-staging.pages.dev/microsoft-windows-certificateservicesclient-lifecycle-system/
$LifecycleEvents = @{
    '1001' = 'a certificate was replaced (second hand)'
    '1002' = 'a certificate has expired (second hand)'
    '1003' = 'a certificate is about to expire (second hand)'
    '1004' = 'a certificate was deleted (second hand)'
    '1005' = 'a certificate was archived (second hand)'
    '1006' = 'a new certificate was installed (second hand)'
    '1007' = 'a certificate was exported (second hand)'
    '1008' = 'a certificate was associated with its private key (second hand)'
    '1009' = 'a certificate could not be associated with its private key (second hand)'
    '1010' = 'a certificate was deleted from Active Directory (second hand)'
}

# https://learn.microsoft.com/en-us/openspecs/windows_protocols/ms-tsch: XML task definitions
$TaskXml = @'
<Task version="1.2" xmlns="http://schemas.microsoft.com/windows/2004/02/mit/task">
  <RegistrationInfo>
    <Description>Warns in the Application log of certificates that end soon.</Description>
  </RegistrationInfo>
  <Triggers>
    <EventTrigger>
      <Subscription>{0}</Subscription>
    </EventTrigger>
    <CalendarTrigger>
      <StartBoundary>2026-01-01T07:00:00</StartBoundary>
      <ScheduleByDay>
        <DaysInterval>1</DaysInterval>
      </ScheduleByDay>
    </CalendarTrigger>
  </Triggers>
  <Principals>
    <Principal id="System">
      <UserId>S-1-5-18</UserId>
    </Principal>
  </Principals>
  <Settings>
    <DisallowStartIfOnBatteries>false</DisallowStartIfOnBatteries>
    <StopIfGoingOnBatteries>false</StopIfGoingOnBatteries>
    <StartWhenAvailable>true</StartWhenAvailable>
    <ExecutionTimeLimit>PT1H</ExecutionTimeLimit>
  </Settings>
  <Actions Context="System">
    <Exec>
      <Command>%SystemRoot%\System32\WindowsPowerShell\v1.0\powershell.exe</Command>
      <Arguments>{1}</Arguments>
    </Exec>
  </Actions>
</Task>
'@
$Subscription = @'
<QueryList><Query Id="0" Path="{0}"><Select Path="{0}">*[System[({1})]]</Select></Query></QueryList>
'@
$Channel = 'Microsoft-Windows-CertificateServicesClient-Lifecycle-System/Operational'

function Assert-Administrator {
    $Me = [System.Security.Principal.WindowsPrincipal]::new([System.Security.Principal.WindowsIdentity]::GetCurrent())
    if (-not $Me.IsInRole([System.Security.Principal.WindowsBuiltInRole]::Administrator)) {
        throw 'administrator rights are missing. Run the script as administrator, or as SYSTEM.'
    }
}

function Assert-Cmdlet {
    if (-not (Get-Command -Name 'Register-ScheduledTask' -ErrorAction SilentlyContinue)) {
        throw 'this Windows has no Register-ScheduledTask and no Lifecycle events (Windows 7 and Windows Server 2008 R2 have neither). Let its Task Scheduler run this script with Tell every day, or watch its servers from another computer with vmscert due --live.'
    }
}

# The certificates that end within the days of the inputs, or have ended.
function Get-EndingCertificate {
    $Limit = [System.DateTime]::Now.AddDays([int]$Days)
    Get-ChildItem -Path 'Cert:\LocalMachine\My' | Where-Object -FilterScript { $_.NotAfter -lt $Limit }
}

# Without the invariant culture a Thai, an Arab or a Persian Windows counts years of its own.
function Send-Warning {
    param([object]$Certificate)
    $End = $Certificate.NotAfter.ToString('yyyy-MM-dd HH:mm', [System.Globalization.CultureInfo]::InvariantCulture)
    $Text = 'The certificate {0} ({1}) ends on {2}. Renew it: runbook 17.' -f $Certificate.Subject, $Certificate.Thumbprint, $End
    if ($PSCmdlet.ShouldProcess('Application log', $Text)) {
        [System.Diagnostics.EventLog]::WriteEntry($EventSource, $Text, [System.Diagnostics.EventLogEntryType]::Warning, 1003)
    }
}

# Looked up where everybody may look: SourceExists() asks the Security log, too.
function Test-Source {
    $Key = 'Registry::HKEY_LOCAL_MACHINE\SYSTEM\CurrentControlSet\Services\EventLog\Application\{0}'
    Test-Path -LiteralPath ($Key -f $EventSource)
}

function Get-Place {
    Join-Path -Path $Folder -ChildPath 'notify.ps1'
}

function Test-Task {
    @(Get-ScheduledTask -TaskName $TaskName -TaskPath '\' -ErrorAction SilentlyContinue).Count -gt 0
}

# What of Register is on this computer.
function Get-Trace {
    if (Test-Task) {
        'the task'
    }
    if (Test-Path -LiteralPath (Get-Place)) {
        'the copied script'
    }
    if (Test-Source) {
        'the event source'
    }
}

function Get-Definition {
    $Events = @($StartingEvents | ForEach-Object -Process { 'EventID={0}' -f $_ }) -join ' or '
    $Query = [System.Security.SecurityElement]::Escape(($Subscription -f $Channel, $Events))
    $Line = '-NoProfile -NonInteractive -ExecutionPolicy Bypass -File "{0}" Tell' -f (Get-Place)
    $TaskXml -f $Query, [System.Security.SecurityElement]::Escape($Line)
}

# The bytes are written anew: a copy would take the mark of the Internet along.
function Add-Task {
    if (-not (Test-Source)) {
        [System.Diagnostics.EventLog]::CreateEventSource($EventSource, 'Application')
    }
    $Bytes = [System.IO.File]::ReadAllBytes($PSCommandPath)
    [void][System.IO.Directory]::CreateDirectory($Folder)
    [System.IO.File]::Delete((Get-Place))
    [System.IO.File]::WriteAllBytes((Get-Place), $Bytes)
    [void](Register-ScheduledTask -TaskName $TaskName -TaskPath '\' -Xml (Get-Definition) -Force -ErrorAction Stop)
}

function Remove-Task {
    if (Test-Task) {
        Unregister-ScheduledTask -TaskName $TaskName -TaskPath '\' -Confirm:$false -ErrorAction Stop
    }
    if (Test-Path -LiteralPath $Folder) {
        [System.IO.File]::Delete((Get-Place))
        if ([System.IO.Directory]::GetFileSystemEntries($Folder).Length -eq 0) {
            [System.IO.Directory]::Delete($Folder)
        }
    }
    if (Test-Source) {
        [System.Diagnostics.EventLog]::DeleteEventSource($EventSource)
    }
}

$ErrorActionPreference = 'Stop'
Set-StrictMode -Version 2.0
$Code = 0
$Result = 'nothing was changed.'
try {
    # What is no word is a thumbprint or a number that Windows gives to a script that it runs.
    if ($Action -notmatch '^[A-Za-z]{1,20}$') {
        $Action = 'Tell'
    }
    if (@('Register', 'Tell', 'Remove') -notcontains $Action) {
        throw ('the action {0} is unknown. Write Register, Tell or Remove.' -f $Action)
    }
    if ($Action -eq 'Tell') {
        $Found = @(Get-EndingCertificate)
        foreach ($One in $Found) {
            Send-Warning -Certificate $One
        }
        $Result = '{0} certificates end within {1} days.' -f $Found.Count, $Days
    }
    elseif ($Action -eq 'Register') {
        Assert-Cmdlet
        if ($PSCmdlet.ShouldProcess($TaskName, ('Copy this script to {0}, make the event source {1}, register the task' -f $Folder, $EventSource))) {
            Assert-Administrator
            Add-Task
            $Kept = @(Get-Trace)
            if ($Kept.Count -ne 3) {
                throw ('Windows kept only this: {0}. Look into the Task Scheduler, then run this script again.' -f ($Kept -join ', '))
            }
            $Result = 'done.'
        }
        foreach ($Number in ($LifecycleEvents.Keys | Sort-Object)) {
            Write-Output ('Lifecycle event {0}: {1}' -f $Number, $LifecycleEvents[$Number])
        }
    }
    else {
        Assert-Cmdlet
        if (@(Get-Trace).Count -eq 0) {
            $Result = 'nothing to do.'
        }
        elseif ($PSCmdlet.ShouldProcess($TaskName, ('Take away {0}' -f (@(Get-Trace) -join ', ')))) {
            Assert-Administrator
            Remove-Task
            $Kept = @(Get-Trace)
            if ($Kept.Count -ne 0) {
                throw ('this is still here: {0}. Close what has it open, then run this script again.' -f ($Kept -join ', '))
            }
            $Result = 'done.'
        }
    }
    Write-Output ('{0}, {1}: {2}' -f $env:COMPUTERNAME, $Action, $Result)
}
catch {
    $Code = 1
    Write-Output ('{0} failed: {1}' -f $env:COMPUTERNAME, $_.Exception.Message)
}
exit $Code
