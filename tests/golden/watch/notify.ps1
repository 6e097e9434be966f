<#
.SYNOPSIS
    Lets Windows warn in its event log when a certificate of this computer is about to end.
.DESCRIPTION
    Register copies this script to a folder of its own and registers it as a certificate
    notification task: Windows runs it when it writes the Lifecycle events that a certificate is
    about to expire or has expired. Tell, which the task runs, writes one warning into the
    Application log for each certificate of LocalMachine\My that ends soon. Remove undoes Register.
    Every action may be repeated. One line says how it went; the exit code is 0, or 1 where that
    line says what is wrong.
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
    [string]$Action = 'Tell'
)

# inputs: begin
$TaskName = 'vmscert: certificates that end'
$EventSource = 'vmscert'
$Folder = 'C:\Program Files\vmscert'
$Days = '30'
# inputs: end

# https://social.technet.microsoft.com/wiki/contents/articles/14250.certificate-services-lifecycle-notifications.aspx
$LifecycleEvents = @{
    '1001' = 'a certificate was replaced (second hand)'
    '1002' = 'a certificate has expired (second hand)'
    '1003' = 'a certificate is about to expire (second hand)'
    '1004' = 'a certificate was deleted (second hand)'
    '1005' = 'a certificate was archived (second hand)'
    '1006' = 'a new certificate was installed (second hand)'
    '1007' = 'a certificate was exported (second hand)'
}

function Assert-Administrator {
    $Me = [System.Security.Principal.WindowsPrincipal]::new([System.Security.Principal.WindowsIdentity]::GetCurrent())
    if (-not $Me.IsInRole([System.Security.Principal.WindowsBuiltInRole]::Administrator)) {
        throw 'administrator rights are missing. Run the script as administrator, or as SYSTEM.'
    }
}

# The certificates that end within the days of the inputs, or have ended.
function Get-EndingCertificate {
    $Limit = [System.DateTime]::Now.AddDays([int]$Days)
    Get-ChildItem -Path 'Cert:\LocalMachine\My' | Where-Object -FilterScript { $_.NotAfter -lt $Limit }
}

function Send-Warning {
    param([object]$Certificate)
    $Text = 'The certificate {0} ({1}) ends on {2:yyyy-MM-dd HH:mm}. Renew it: runbook 17.' -f $Certificate.Subject, $Certificate.Thumbprint, $Certificate.NotAfter
    [System.Diagnostics.EventLog]::WriteEntry($EventSource, $Text, [System.Diagnostics.EventLogEntryType]::Warning, 1003)
}

function Test-Task {
    @(Get-CertificateNotificationTask | Where-Object -FilterScript { $_.Name -eq $TaskName }).Count -gt 0
}

function Add-Task {
    if (-not [System.Diagnostics.EventLog]::SourceExists($EventSource)) {
        [System.Diagnostics.EventLog]::CreateEventSource($EventSource, 'Application')
    }
    if (-not (Test-Path -LiteralPath $Folder)) {
        [void][System.IO.Directory]::CreateDirectory($Folder)
    }
    $Place = Join-Path -Path $Folder -ChildPath 'notify.ps1'
    if ($PSCommandPath -ne $Place) {
        [System.IO.File]::Copy($PSCommandPath, $Place, $true)
    }
    if (-not (Test-Task)) {
        [void](New-CertificateNotificationTask -Type Expire -PSScript $Place -Name $TaskName -Channel System)
    }
}

$ErrorActionPreference = 'Stop'
Set-StrictMode -Version 2.0
$Code = 0
$Result = 'nothing was changed.'
try {
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
    elseif ($PSCmdlet.ShouldProcess($TaskName, $Action)) {
        Assert-Administrator
        if ($Action -eq 'Register') {
            Add-Task
        }
        elseif (Test-Task) {
            Remove-CertificateNotificationTask -Name $TaskName
        }
        if ((Test-Task) -ne ($Action -eq 'Register')) {
            throw 'Windows did not keep the change. Look into the Task Scheduler.'
        }
        $Result = 'done.'
    }
    if ($Action -eq 'Register') {
        foreach ($Number in ($LifecycleEvents.Keys | Sort-Object)) {
            Write-Output ('Lifecycle event {0}: {1}' -f $Number, $LifecycleEvents[$Number])
        }
    }
    Write-Output ('{0}, {1}: {2}' -f $env:COMPUTERNAME, $Action, $Result)
}
catch {
    $Code = 1
    Write-Output ('{0} failed: {1}' -f $env:COMPUTERNAME, $_.Exception.Message)
}
exit $Code
